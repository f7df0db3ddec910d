"""Raw timings of a trial, with the environment they were taken in."""

from __future__ import annotations

__all__ = [
    "ArmFacts",
    "Environment",
    "Measurement",
    "Round",
    "Slice",
    "lost_share",
]

from collections.abc import Iterable

import msgspec

from amx_suite.core.case import Arm
from amx_suite.core.evidence import Evidence
from amx_suite.core.numbers import Count, Duration, Seconds
from amx_suite.core.peaks import Peaks
from amx_suite.core.quiet import Reading, Reference
from amx_suite.core.roofline import Product, operations_in


class Slice(msgspec.Struct, frozen=True):
    """One arm's turn: ``iterations`` steps that together took ``seconds``, by the child's clock.

    ``before`` and ``after`` are the probe's readings around it; None where none was taken.
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
    """One quiet slice of each arm, in the order in which they ran.

    ``disturbed`` are the slices that were not quiet and were taken again; they count for nothing.
    Of the round's ``seconds``, by the parent's clock, ``lost_seconds`` went into them and into
    waiting for quiet. ``launch`` is 1 in the second launch that a FAIL asks for, else 0. The last
    round of a launch may have run out of time before every arm had its slice.
    """

    index: int
    slices: tuple[Slice, ...]
    launch: int = 0
    disturbed: tuple[Slice, ...] = ()
    seconds: Duration = 0.0
    lost_seconds: Duration = 0.0

    def seconds_per_step(self, arm_id: str) -> float | None:
        """Seconds of one step of the arm in this round, or None if it had no quiet slice."""
        for piece in self.slices:
            if piece.arm_id == arm_id:
                return piece.seconds_per_step
        return None


def lost_share(rounds: Iterable[Round]) -> float:
    """Share of the rounds' time that went into waiting and into disturbed slices, 0 to 1."""
    rounds = tuple(rounds)
    total = sum(round_.seconds for round_ in rounds)
    return sum(round_.lost_seconds for round_ in rounds) / total if total else 0.0


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
    the kernel killed for an instruction beyond their ceiling to how it died. ``reference`` is what
    quiet was judged by, None where speed was not judged. ``engines`` are those that the trial
    compares, the first that of all baselines; empty for the arms of a single engine.
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

    def launch(self, number: int) -> tuple[Round, ...]:
        """The rounds of the first launch (0), or of the second (1)."""
        return tuple(round_ for round_ in self.rounds if round_.launch == number)

    def pairs(
        self, baseline_id: str, candidate_id: str, launch: int = 0
    ) -> tuple[tuple[float, float], ...]:
        """(baseline, candidate) seconds per step for each round of a launch that has both."""
        found = (
            (round_.seconds_per_step(baseline_id), round_.seconds_per_step(candidate_id))
            for round_ in self.launch(launch)
        )
        return tuple((b, c) for b, c in found if b is not None and c is not None)

    def series(self, arm_id: str) -> tuple[float, ...]:
        """Seconds per step of the arm's quiet slices, or of disturbed ones where none was quiet."""
        quiet = [piece for round_ in self.rounds for piece in round_.slices]
        disturbed = [piece for round_ in self.rounds for piece in round_.disturbed]
        for slices in (quiet, disturbed):
            values = tuple(s.seconds_per_step for s in slices if s.arm_id == arm_id)
            if values:
                return values
        return ()

    def arm(self, arm_id: str) -> ArmFacts:
        """Facts of the arm with that id; KeyError if the trial has no such arm."""
        for facts in self.arms:
            if facts.case.id == arm_id:
                return facts
        raise KeyError(arm_id)
