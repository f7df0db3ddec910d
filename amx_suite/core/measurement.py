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
]

from collections.abc import Iterable

import msgspec

from amx_suite.core.case import RunCase
from amx_suite.core.evidence import Evidence

#: Raised whenever a stored measurement changes its meaning or layout.
SCHEMA_VERSION = 1


class Slice(msgspec.Struct, frozen=True):
    """One arm's turn: ``iterations`` steps that together took ``seconds``, by the child's clock."""

    case_id: str
    seconds: float
    iterations: int

    @property
    def seconds_per_step(self) -> float:
        """Mean seconds of one step."""
        return self.seconds / self.iterations


class Round(msgspec.Struct, frozen=True):
    """One slice of each arm, in the order in which they ran."""

    index: int
    slices: tuple[Slice, ...]

    def seconds_per_step(self, case_id: str) -> float | None:
        """Seconds of one step of the arm in this round, or None if it had no turn."""
        for piece in self.slices:
            if piece.case_id == case_id:
                return piece.seconds_per_step
        return None


def pairs_in(
    rounds: Iterable[Round], baseline_id: str, candidate_id: str
) -> tuple[tuple[float, float], ...]:
    """(baseline, candidate) seconds per step for each round in which both had a turn."""
    found = ((r.seconds_per_step(baseline_id), r.seconds_per_step(candidate_id)) for r in rounds)
    return tuple((b, c) for b, c in found if b is not None and c is not None)


class Environment(msgspec.Struct, frozen=True):
    """Where a measurement was taken.

    ``versions`` maps package to version; ``removed_variables`` are the user's variables that were
    kept from the workers, with the values they had; ``cpus`` are those the workers were bound to.
    """

    host: dict[str, str]
    versions: dict[str, str]
    removed_variables: dict[str, str]
    cpus: tuple[int, ...]


class ArmFacts(msgspec.Struct, frozen=True):
    """What is known of one arm besides its timings.

    ``items_per_step`` counts ``unit`` (``images`` or ``tokens``) in one step,
    ``operations_per_step`` the multiplications and additions of its matrix products; ``data`` says
    what the inputs were; ``variables`` is the part of the child's environment that the case set.
    """

    case: RunCase
    prepare_seconds: float
    iterations: int
    items_per_step: int
    operations_per_step: int
    unit: str
    peak_bytes: int
    data: str
    variables: dict[str, str]
    evidence: Evidence | None = None


class Measurement(msgspec.Struct, frozen=True):
    """Everything a trial measured, before any judgement.

    ``notes`` are sentences for the report. ``beyond_ceiling`` maps the ids of arms whose process
    the kernel killed for an instruction beyond their ceiling to how it died.
    """

    trial: str
    seed: int
    started: str
    environment: Environment
    arms: tuple[ArmFacts, ...]
    rounds: tuple[Round, ...]
    notes: tuple[str, ...] = ()
    beyond_ceiling: dict[str, str] = {}
    schema_version: int = SCHEMA_VERSION

    def series(self, case_id: str) -> tuple[float, ...]:
        """Seconds per step of one arm, one for each round in which it had a turn."""
        values = (r.seconds_per_step(case_id) for r in self.rounds)
        return tuple(v for v in values if v is not None)

    def pairs(self, baseline_id: str, candidate_id: str) -> tuple[tuple[float, float], ...]:
        """(baseline, candidate) seconds per step for each round in which both had a turn."""
        return pairs_in(self.rounds, baseline_id, candidate_id)

    def arm(self, case_id: str) -> ArmFacts:
        """Facts of the arm with that id; KeyError if the trial has no such arm."""
        for facts in self.arms:
            if facts.case.id == case_id:
                return facts
        raise KeyError(case_id)
