"""The suite's proof of itself: real trials on this machine whose answer is known.

A case runs against itself, started once more. As it is there is nothing to find; with a busy wait
behind each of its steps the second is slower by a known share. The gate lies halfway between equal
and 5 % slower, so that a FAIL of equals is a false alarm and a PASS of a slower one is a miss. All
else is as in any trial: probes, rounds, fresh launches, verdict.

The speedup of the case over FP32 has no known answer, so no gate is asked of it: such trials show
how much that one number differs from run to run, each with fresh processes. They take as many quiet
rounds as a gate far from its value would.
"""

from __future__ import annotations

__all__ = [
    "SLOWDOWNS",
    "Kind",
    "KnownTrial",
    "StartSlowed",
    "known_trials",
    "proven_case",
    "summarize",
]

import math
import statistics
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from enum import StrEnum

import msgspec

from amx_suite.core.case import Mode, Precision, RunCase, Shape, Workload
from amx_suite.core.gate import Gate, Versus
from amx_suite.core.isa import Isa
from amx_suite.core.noise import Reference
from amx_suite.core.trial import Trial, TrialResult
from amx_suite.core.verdict import Verdict
from amx_suite.trial.pool import ArmWorker, StartProber, StartWorker
from amx_suite.trial.ruling import MIN_PAIRS
from amx_suite.trial.session import TrialSession
from amx_suite.trial.speedup import paired_speedup
from amx_suite.workloads.base import Inputs

#: Shares by which the second of two equal arms is slowed; 0 is the twin with nothing to find.
SLOWDOWNS = (0.0, 0.05, 0.10)
#: Halfway between equal and the least of the slowdowns.
_MINIMUM = 1 / 1.025

#: Starts a case's worker whose timed steps are slower by that share.
StartSlowed = Callable[[RunCase, float], ArmWorker]


class Kind(StrEnum):
    """What the case is measured against."""

    TWIN = "twin"
    SLOWED = "slowed"
    SPEEDUP = "speedup"


class KnownTrial(msgspec.Struct, frozen=True):
    """One trial: what was injected, what was said, and at what cost.

    ``slowdown`` is None for a speedup over FP32, whose verdict is INCONCLUSIVE with too few quiet
    rounds and else NOT_APPLICABLE. ``ratio`` is the measured speed of the slowed arm over its
    equal's, or that speedup; None without a quiet pair. ``seconds`` counts preparation as well.
    """

    slowdown: float | None
    verdict: Verdict
    reason: str
    ratio: float | None
    rounds: int
    seconds: float

    @property
    def is_false(self) -> bool:
        """Whether the verdict is wrong: a FAIL of equals, a PASS of a slower one."""
        if self.slowdown is None:
            return False
        return self.verdict is (Verdict.PASS if self.slowdown else Verdict.FAIL)

    @property
    def is_right(self) -> bool:
        """Whether the verdict is the known answer."""
        if self.slowdown is None:
            return False
        return self.verdict is (Verdict.FAIL if self.slowdown else Verdict.PASS)

    @property
    def is_undecided(self) -> bool:
        """Whether the machine did not let it end."""
        if self.slowdown is None:
            return self.verdict is Verdict.INCONCLUSIVE
        return not (self.is_right or self.is_false)

    @property
    def words(self) -> str:
        """What was run."""
        return "over FP32" if self.slowdown is None else f"slower by {self.slowdown:.0%}"


def proven_case(
    model: str,
    engine: str,
    shape: Shape,
    *,
    threads: int,
    seed: int,
    amx: bool,
    flags: Iterable[str],
) -> RunCase:
    """The inference case that is run against itself: BF16 with AMX where usable, else without.

    ``flags`` are the CPU's in /proc/cpuinfo; without BF16 in AVX-512 the case is FP32's.
    """
    precision, isa = Precision.FP32, Isa.AVX512
    if amx:
        precision, isa = Precision.BF16, Isa.AMX
    elif set(Isa.AVX512_BF16.spec.cpu_flags) <= set(flags):
        precision, isa = Precision.BF16, Isa.AVX512_BF16
    workload = Workload(model, Mode.INFERENCE)
    return RunCase(workload, engine, precision, isa, shape, threads, seed)


def known_trials(
    case: RunCase,
    start: StartSlowed,
    start_prober: StartProber,
    *,
    trials: int,
    budget_seconds: float,
    reference: Reference | None,
    host: dict[str, str],
    cpus: tuple[int, ...],
    kinds: Collection[Kind] = tuple(Kind),
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[KnownTrial]:
    """So many trials of each slowdown and of the speedup, in turn, in fresh processes, as they end.

    A case that is FP32 itself has no speedup over it.
    """
    gate = Gate(
        case.workload, case.precision, Versus.TWIN, case.shape, _MINIMUM, "halfway to 5 % slower"
    )
    twin = msgspec.structs.replace(case, twin=True)
    fp32 = msgspec.structs.replace(case, precision=Precision.FP32, isa=Isa.AVX512)
    asked: list[float | None] = [s for s in SLOWDOWNS if (Kind.SLOWED if s else Kind.TWIN) in kinds]
    if Kind.SPEEDUP in kinds and fp32 != case:
        asked.append(None)
    for number in range(trials):
        for slowdown in asked:
            arms = (fp32, case) if slowdown is None else (case, twin)
            session = TrialSession(
                Trial(case.name, case.workload, case.shape, arms, case.seed + number),
                [] if slowdown is None else [gate],
                start=_slowing_twins(start, slowdown or 0.0),
                start_prober=start_prober,
                host=host,
                cpus=cpus,
                budget_seconds=budget_seconds,
                inputs=Inputs(),
                reference=reference,
                clock=clock,
            )
            began = clock()
            try:
                result = session.result()
            finally:
                session.close()
            answer = _over_fp32(result, arms) if slowdown is None else _known(result)
            verdict, reason, ratio = answer
            rounds = len(result.measurement.rounds)
            yield KnownTrial(slowdown, verdict, reason, ratio, rounds, clock() - began)


def _known(result: TrialResult) -> tuple[Verdict, str, float | None]:
    (answer,) = result.gates
    ratio = None if answer.speedup is None else answer.speedup.ratio
    return answer.verdict, answer.reason, ratio


def _over_fp32(
    result: TrialResult, arms: tuple[RunCase, RunCase]
) -> tuple[Verdict, str, float | None]:
    baseline, candidate = arms
    measurement = result.measurement
    pairs = measurement.pairs(baseline.id, candidate.id)
    found = paired_speedup(pairs)
    ratio = None if found is None else found.ratio
    if len(pairs) < MIN_PAIRS:
        ran = len(measurement.rounds)
        reason = f"{len(pairs)} of {ran} rounds were quiet, and {MIN_PAIRS} are needed"
        return Verdict.INCONCLUSIVE, reason, ratio
    return Verdict.NOT_APPLICABLE, f"{ratio:.2f}x in {len(pairs)} rounds, without a gate", ratio


def _slowing_twins(start: StartSlowed, slowdown: float) -> StartWorker:
    return lambda case: start(case, slowdown if case.twin else 0.0)


def summarize(found: Sequence[KnownTrial]) -> str:
    """The verdicts of each kind, time to verdict and run-to-run spread, as a table."""
    header = ("trials", "right", "false", "undecided", "seconds", "ratio", "SD")
    lines = [" " * 22 + "".join(f"{name:>10}" for name in header)]
    for slowdown in (*SLOWDOWNS, None):
        kind = [trial for trial in found if trial.slowdown == slowdown]
        if not kind:
            continue
        logs = [math.log(trial.ratio) for trial in kind if trial.ratio is not None]
        cells = (
            len(kind),
            *(("-", "-") if slowdown is None else _answers(kind)),
            sum(trial.is_undecided for trial in kind),
            f"{statistics.median(trial.seconds for trial in kind):.0f}",
            f"{math.exp(statistics.fmean(logs)):.3f}" if logs else "-",
            f"{statistics.stdev(logs):.2%}" if len(logs) > 1 else "-",
        )
        name = "speedup over FP32" if slowdown is None else kind[0].words
        lines.append(f"{name:<22}" + "".join(f"{cell:>10}" for cell in cells))
    return "\n".join(lines)


def _answers(kind: Sequence[KnownTrial]) -> tuple[int, int]:
    """How many were right and how many false."""
    return sum(trial.is_right for trial in kind), sum(trial.is_false for trial in kind)
