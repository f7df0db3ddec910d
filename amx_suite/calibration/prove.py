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

from amx_suite.core.case import Arm, Mode, Precision, RunCase, Shape, Workload
from amx_suite.core.gate import Gate, Versus
from amx_suite.core.isa import Isa
from amx_suite.core.noise import Reference
from amx_suite.core.trial import Trial
from amx_suite.core.verdict import Verdict
from amx_suite.engines import engine as engine_named
from amx_suite.errors import NotApplicableError
from amx_suite.report.rows import speedup_text
from amx_suite.trial.judge import judge_pair
from amx_suite.trial.pool import ArmWorker, StartProber, StartWorker
from amx_suite.trial.progress import Progress
from amx_suite.trial.ruling import MIN_PAIRS
from amx_suite.trial.session import TrialSession
from amx_suite.trial.speedup import paired_speedup
from amx_suite.workloads.base import Inputs

#: Shares by which the second of two equal arms is slowed; 0 is the twin with nothing to find.
SLOWDOWNS = (0.0, 0.05, 0.10)
#: The arms that can serve as the case, best first. AVX2 adds the products of INT8 in 16 bits and
#: cuts off what is more, so its outputs are no INT8 arm's; its speed serves as well as any.
_SERVING = (
    (Precision.BF16, Isa.AMX),
    (Precision.BF16, Isa.AVX512_BF16),
    (Precision.INT8, Isa.AVX512_VNNI),
    (Precision.INT8, Isa.AVX2),
    (Precision.FP32, Isa.AVX512),
    (Precision.FP32, Isa.AVX2),
)
#: Halfway between equal and the least of the slowdowns.
_MINIMUM = 1 / 1.025

#: Starts a case's worker whose timed steps are slower by that share.
StartSlowed = Callable[[Arm, float], ArmWorker]


class Kind(StrEnum):
    """What the case is measured against."""

    TWIN = "twin"
    SLOWED = "slowed"
    SPEEDUP = "speedup"


class KnownTrial(msgspec.Struct, frozen=True):
    """One trial: what was injected, what was said, and at what cost.

    ``slowdown`` is None for a speedup over FP32, whose verdict is PASS where its figure can be
    trusted. ``ratio`` is the measured speed of the slowed arm over its equal's, or that speedup;
    None without a quiet pair. ``pairs`` of the ``rounds`` were quiet. ``prepare_seconds`` are those
    until the first round, ``seconds`` all others.
    """

    slowdown: float | None
    verdict: Verdict
    reason: str
    ratio: float | None
    pairs: int
    rounds: int
    prepare_seconds: float
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
        """Whether nothing was said, as on a machine that is never quiet."""
        if self.slowdown is None:
            return self.verdict is not Verdict.PASS
        return not (self.is_right or self.is_false)

    @property
    def words(self) -> str:
        """What was run."""
        return _words(self.slowdown)


def _words(slowdown: float | None) -> str:
    return "over FP32" if slowdown is None else f"slower by {slowdown:.0%}"


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
    """The inference case that is run against itself: the best arm that this machine has.

    ``amx`` says whether AMX is usable and ``flags`` are the CPU's in /proc/cpuinfo. Raises
    NotApplicableError if none can run here.
    """
    stack, has = engine_named(engine), frozenset(flags)
    for precision, isa in _SERVING:
        reachable = amx if isa.allows_amx else has.issuperset(isa.spec.cpu_flags)
        if reachable and stack.why_not(Mode.INFERENCE, precision) is None:
            workload = Workload(model, Mode.INFERENCE)
            return RunCase(workload, engine, precision, isa, shape, threads, seed)
    raise NotApplicableError(
        f"no arm of {engine} can run here: each needs at least "
        f"{' and '.join(Isa.AVX2.spec.cpu_flags)} (/proc/cpuinfo); use a CPU that has them"
    )


def _fp32_beside(case: RunCase) -> RunCase:
    """The FP32 arm of the same machine."""
    isa = Isa.AVX2 if case.isa is Isa.AVX2 else Isa.AVX512
    return msgspec.structs.replace(case, precision=Precision.FP32, isa=isa)


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
    progress: Progress | None = None,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[KnownTrial]:
    """So many trials of each slowdown and of the speedup, in turn, in fresh processes, as they end.

    A case that is FP32 itself has no speedup over it.
    """
    gate = Gate(
        case.workload, case.precision, Versus.TWIN, case.shape, _MINIMUM, "halfway to 5 % slower"
    )
    twin, fp32 = Arm.of(case, copy=2), _fp32_beside(case)
    asked: list[float | None] = [s for s in SLOWDOWNS if (Kind.SLOWED if s else Kind.TWIN) in kinds]
    if Kind.SPEEDUP in kinds and fp32 != case:
        asked.append(None)
    for number in range(trials):
        for slowdown in asked:
            arms = (Arm.of(fp32), Arm.of(case)) if slowdown is None else (Arm.of(case), twin)
            name = f"{_words(slowdown)}, {number + 1} of {trials}"
            session = TrialSession(
                Trial(name, case.workload, case.shape, arms, case.seed + number),
                [] if slowdown is None else [gate],
                start=_slowing_twins(start, slowdown or 0.0),
                start_prober=start_prober,
                host=host,
                cpus=cpus,
                budget_seconds=budget_seconds,
                inputs=Inputs(),
                reference=reference,
                progress=progress,
                clock=clock,
            )
            began = clock()
            try:
                session.result()
            finally:
                session.close()
            yield _known(slowdown, session, clock() - began)


def _known(slowdown: float | None, session: TrialSession, seconds: float) -> KnownTrial:
    """What the finished session said, and how long it took to say so."""
    result = session.result()
    measurement = result.measurement
    if slowdown is None:
        baseline, candidate = session.arms
        answer = judge_pair(baseline, candidate, measurement, session.missing)
        speedup = paired_speedup(measurement.pairs(baseline.id, candidate.id))
        verdict, reason = answer.verdict, answer.reason
        if verdict is Verdict.PASS and speedup is not None:
            reason = f"{speedup_text(speedup)} in {reason}"
    else:
        (gate,) = result.gates
        verdict, reason, speedup = gate.verdict, gate.reason, gate.speedup
    preparing = sum(facts.prepare_seconds for facts in measurement.arms)
    return KnownTrial(
        slowdown,
        verdict,
        reason,
        None if speedup is None else speedup.ratio,
        0 if speedup is None else speedup.pairs,
        len(measurement.rounds),
        preparing,
        seconds - preparing,
    )


def _slowing_twins(start: StartSlowed, slowdown: float) -> StartWorker:
    return lambda arm: start(arm, slowdown if arm.is_copy else 0.0)


def summarize(found: Sequence[KnownTrial]) -> str:
    """The verdicts of each kind, median seconds and run-to-run spread of the ratio, as a table.

    The spread is of those trials whose ratio rests on as many quiet rounds as a verdict needs.
    """
    header = ("trials", "right", "false", "undecided", "prepared", "decided", "ratio", "SD")
    lines = [" " * 22 + "".join(f"{name:>10}" for name in header)]
    for slowdown in (*SLOWDOWNS, None):
        kind = [trial for trial in found if trial.slowdown == slowdown]
        if not kind:
            continue
        logs = [math.log(t.ratio) for t in kind if t.ratio is not None and t.pairs >= MIN_PAIRS]
        cells = (
            len(kind),
            *(("-", "-") if slowdown is None else _answers(kind)),
            sum(trial.is_undecided for trial in kind),
            f"{statistics.median(trial.prepare_seconds for trial in kind):.0f} s",
            f"{statistics.median(trial.seconds for trial in kind):.0f} s",
            f"{math.exp(statistics.fmean(logs)):.3f}" if logs else "-",
            f"{statistics.stdev(logs):.2%}" if len(logs) > 1 else "-",
        )
        name = "speedup over FP32" if slowdown is None else kind[0].words
        lines.append(f"{name:<22}" + "".join(f"{cell:>10}" for cell in cells))
    return "\n".join(lines)


def _answers(kind: Sequence[KnownTrial]) -> tuple[int, int]:
    """How many were right and how many false."""
    return sum(trial.is_right for trial in kind), sum(trial.is_false for trial in kind)
