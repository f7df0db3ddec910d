"""Raw timings of a trial, and the environment in which they were taken."""

from __future__ import annotations

__all__ = [
    "ArmFacts",
    "Environment",
    "Measurement",
    "Round",
    "Slice",
    "lost_share",
]

from collections.abc import Iterable, Sequence

import msgspec

from amx_suite.core.case import Arm
from amx_suite.core.evidence import Evidence
from amx_suite.core.peaks import Peaks
from amx_suite.core.quiet import Reading, Reference
from amx_suite.core.units import Count, Duration, Natural, Seconds

#: Variables whose values are kept: threads, instruction sets and the allocator. Another's value may
#: be a password, and no figure depends on it, because the workers did not get it.
_VALUES_KEPT = frozenset(
    {
        "ATEN_CPU_CAPABILITY",
        "DNNL_MAX_CPU_ISA",
        "GOMP_CPU_AFFINITY",
        "KMP_AFFINITY",
        "KMP_BLOCKTIME",
        "LD_PRELOAD",
        "MALLOC_CONF",
        "MKL_ENABLE_INSTRUCTIONS",
        "MKL_NUM_THREADS",
        "OMP_NUM_THREADS",
        "OMP_PROC_BIND",
        "ONEDNN_DEFAULT_FPMATH_MODE",
        "ONEDNN_MAX_CPU_ISA",
    }
)


class Slice(msgspec.Struct, frozen=True):
    """One arm's turn: ``iterations`` steps in ``seconds``, by the child's clock.

    ``before`` and ``after`` are the readings around it, None where none was taken.
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
        """The readings around it."""
        return tuple(reading for reading in (self.before, self.after) if reading is not None)


class Round(msgspec.Struct, frozen=True):
    """One quiet slice of each arm, in the order in which they ran.

    ``disturbed`` are the slices that were not quiet and were repeated; no speedup uses them. The
    round took ``seconds`` by the parent's clock; ``lost_seconds`` of them were disturbed slices and
    waiting for quiet. ``launch`` is 1 in the second launch, which a FAIL needs, else 0. The last
    round of a launch may lack arms, because time ran out.
    """

    index: Natural
    slices: tuple[Slice, ...]
    launch: Natural = 0
    disturbed: tuple[Slice, ...] = ()
    seconds: Duration = 0.0
    lost_seconds: Duration = 0.0


def lost_share(rounds: Sequence[Round]) -> float:
    """Share of the rounds' time in waiting and disturbed slices, 0 to 1."""
    total = sum(round_.seconds for round_ in rounds)
    return sum(round_.lost_seconds for round_ in rounds) / total if total else 0.0


class Environment(msgspec.Struct, frozen=True):
    """Where a measurement was taken.

    ``versions`` maps package to version; ``removed_variables`` are the user's variables that the
    workers did not get, each with its value if that is on a short list, else with an empty one;
    ``cpus`` are those that the workers were bound to, and ``peaks`` their highest rates, None where
    these were not read.
    """

    host: dict[str, str]
    versions: dict[str, str]
    removed_variables: dict[str, str]
    cpus: tuple[int, ...]
    peaks: Peaks | None = None

    def __post_init__(self) -> None:
        """Drop the values that are not kept; files of earlier versions hold them all."""
        kept = {
            name: value if name in _VALUES_KEPT else ""
            for name, value in self.removed_variables.items()
        }
        msgspec.structs.force_setattr(self, "removed_variables", kept)


class ArmFacts(msgspec.Struct, frozen=True):
    """What is known of one arm besides its timings.

    One step processes ``items_per_step`` items of ``unit`` (``images`` or ``tokens``).
    ``operations_per_step`` are the multiplications and additions of its matrix products, 0 in files
    without them. ``data`` describes the inputs; ``variables`` are the environment variables that
    the case set.
    """

    case: Arm
    prepare_seconds: Duration
    iterations: Natural
    items_per_step: Natural
    unit: str
    peak_bytes: Natural
    data: str
    variables: dict[str, str]
    evidence: Evidence | None = None
    operations_per_step: Natural = 0


class Measurement(msgspec.Struct, frozen=True):
    """Everything a trial measured, without verdicts.

    ``notes`` are sentences for the report. ``beyond_ceiling`` maps the id of each arm that the
    kernel killed for an instruction beyond its ceiling to how it died. ``reference`` is what quiet
    meant, None where speed was not judged. ``changed`` says what broke the measurement off, such as
    a suspend; empty where nothing did.
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
    changed: str = ""

    def launch(self, number: int) -> tuple[Round, ...]:
        """The rounds of the first launch (0), or of the second (1)."""
        return tuple(round_ for round_ in self.rounds if round_.launch == number)

    def pairs(
        self, baseline_id: str, candidate_id: str, launch: int = 0
    ) -> tuple[tuple[float, float], ...]:
        """(baseline, candidate) seconds per step for each round of a launch that has both."""
        both = {baseline_id, candidate_id}
        found = (
            {piece.arm_id: piece.seconds_per_step for piece in round_.slices}
            for round_ in self.launch(launch)
        )
        return tuple((s[baseline_id], s[candidate_id]) for s in found if both <= s.keys())

    def series(self, arm_id: str) -> tuple[float, ...]:
        """Seconds per step of the arm's quiet slices, or of all slices if none was quiet."""
        quiet = (piece for round_ in self.rounds for piece in round_.slices)
        disturbed = (piece for round_ in self.rounds for piece in round_.disturbed)

        def of_arm(slices: Iterable[Slice]) -> tuple[float, ...]:
            return tuple(s.seconds_per_step for s in slices if s.arm_id == arm_id)

        return of_arm(quiet) or of_arm(disturbed)
