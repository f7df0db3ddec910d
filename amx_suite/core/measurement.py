"""Raw timings of a trial, with the environment they were taken in."""

from __future__ import annotations

__all__ = [
    "SCHEMA_VERSION",
    "ArmFacts",
    "Environment",
    "Measurement",
    "Round",
    "Slice",
    "pairs_in",
    "quiet_only",
    "readings_of",
]

from collections.abc import Iterable, Iterator

import msgspec

from amx_suite.core.case import Arm
from amx_suite.core.evidence import Evidence
from amx_suite.core.noise import Reading, Reference, best_seen
from amx_suite.core.numbers import Count, Seconds
from amx_suite.core.peaks import Peaks
from amx_suite.core.roofline import Product, operations_in

#: Raised whenever a stored measurement changes its meaning or layout.
SCHEMA_VERSION = 4


class Slice(msgspec.Struct, frozen=True):
    """One arm's turn: ``iterations`` steps that together took ``seconds``, by the child's clock.

    ``before`` and ``after`` are the probe's readings around it; None where none was taken, and then
    nothing speaks against the slice.
    """

    arm_id: str
    seconds: Seconds
    iterations: Count
    before: Reading | None = None
    after: Reading | None = None

    @property
    def seconds_per_step(self) -> float:
        """Mean seconds of one step."""
        return self.seconds / self.iterations

    @property
    def readings(self) -> tuple[Reading, ...]:
        """The readings around it, as many as were taken."""
        return tuple(reading for reading in (self.before, self.after) if reading is not None)


class Round(msgspec.Struct, frozen=True):
    """One slice of each arm, in the order in which they ran.

    ``launch`` counts the times that workers had been started anew before it.
    """

    index: int
    slices: tuple[Slice, ...]
    launch: int = 0

    def seconds_per_step(self, arm_id: str) -> float | None:
        """Seconds of one step of the arm in this round, or None if it had no turn."""
        for piece in self.slices:
            if piece.arm_id == arm_id:
                return piece.seconds_per_step
        return None


def pairs_in(
    rounds: Iterable[Round], baseline_id: str, candidate_id: str
) -> tuple[tuple[float, float], ...]:
    """(baseline, candidate) seconds per step for each round in which both had a turn."""
    found = ((r.seconds_per_step(baseline_id), r.seconds_per_step(candidate_id)) for r in rounds)
    return tuple((b, c) for b, c in found if b is not None and c is not None)


def readings_of(rounds: Iterable[Round]) -> Iterator[Reading]:
    """Every reading of the rounds; one between two slices comes once for each of them."""
    return (reading for round_ in rounds for piece in round_.slices for reading in piece.readings)


def quiet_only(rounds: Iterable[Round], reference: Reference | None) -> tuple[Round, ...]:
    """The rounds without the slices around which a reading was not quiet."""
    if reference is None:
        return tuple(rounds)
    return tuple(
        msgspec.structs.replace(
            round_,
            slices=tuple(s for s in round_.slices if all(map(reference.is_quiet, s.readings))),
        )
        for round_ in rounds
    )


class Environment(msgspec.Struct, frozen=True):
    """Where a measurement was taken.

    ``versions`` maps package to version; ``removed_variables`` are the user's variables that were
    kept from the workers, with the values they had; ``cpus`` are those the workers were bound to,
    and ``peaks`` what these gave at most, None where that was not read.
    """

    host: dict[str, str]
    versions: dict[str, str]
    removed_variables: dict[str, str]
    cpus: tuple[int, ...]
    peaks: Peaks | None = None


class ArmFacts(msgspec.Struct, frozen=True):
    """What is known of one arm besides its timings.

    ``items_per_step`` counts ``unit`` (``images`` or ``tokens``) in one step,
    ``products`` are its matrix products; ``data`` says what the inputs were; ``variables`` is the
    part of the child's environment that the case set.
    """

    case: Arm
    prepare_seconds: float
    iterations: int
    items_per_step: int
    products: tuple[Product, ...]
    unit: str
    peak_bytes: int
    data: str
    variables: dict[str, str]
    evidence: Evidence | None = None

    @property
    def operations_per_step(self) -> int:
        """Multiplications and additions of one step's matrix products."""
        return operations_in(self.products)


class Measurement(msgspec.Struct, frozen=True):
    """Everything a trial measured, before any judgement.

    ``notes`` are sentences for the report. ``beyond_ceiling`` maps the ids of arms whose process
    the kernel killed for an instruction beyond their ceiling to how it died. ``reference`` is the
    machine's stored one, None where there was none. ``engines`` are those that the trial compares,
    the first that of all baselines; empty for the arms of a single engine.
    """

    trial: str
    seed: int
    started: str
    environment: Environment
    arms: tuple[ArmFacts, ...]
    rounds: tuple[Round, ...]
    notes: tuple[str, ...] = ()
    beyond_ceiling: dict[str, str] = {}
    reference: Reference | None = None
    engines: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION

    @property
    def quiet_reference(self) -> Reference | None:
        """What quiet means here: the stored reference, else the best seen; None if unprobed."""
        return self.reference or best_seen(readings_of(self.rounds))

    @property
    def quiet_rounds(self) -> tuple[Round, ...]:
        """The rounds with their quiet slices alone, which are those that count."""
        return quiet_only(self.rounds, self.quiet_reference)

    def series(self, arm_id: str) -> tuple[float, ...]:
        """Seconds per step of one arm's quiet slices; of all its slices where none was quiet."""
        for rounds in (self.quiet_rounds, self.rounds):
            values = [s for r in rounds if (s := r.seconds_per_step(arm_id)) is not None]
            if values:
                return tuple(values)
        return ()

    def pairs(self, baseline_id: str, candidate_id: str) -> tuple[tuple[float, float], ...]:
        """(baseline, candidate) seconds per step for each round in which both were quiet."""
        return pairs_in(self.quiet_rounds, baseline_id, candidate_id)

    def arm(self, arm_id: str) -> ArmFacts:
        """Facts of the arm with that id; KeyError if the trial has no such arm."""
        for facts in self.arms:
            if facts.case.id == arm_id:
                return facts
        raise KeyError(arm_id)
