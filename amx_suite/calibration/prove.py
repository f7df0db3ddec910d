"""The suite's proof of itself: real trials on this machine whose answer is known.

A case runs against itself, started once more. As it is there is nothing to find; with a busy wait
behind each of its steps the second is slower by a known share. The gate lies halfway between equal
and 5 % slower, so that a FAIL of equals is a false alarm and a PASS of a slower one is a miss. All
else is as in any trial: probes, rounds, fresh launches, verdict.
"""

from __future__ import annotations

__all__ = ["SLOWDOWNS", "KnownTrial", "StartSlowed", "known_trials", "proven_case", "summarize"]

import math
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import msgspec

from amx_suite.core.case import Mode, Precision, RunCase, Shape, Workload
from amx_suite.core.gate import Gate, Versus
from amx_suite.core.isa import Isa
from amx_suite.core.noise import Reference
from amx_suite.core.trial import Trial
from amx_suite.core.verdict import Verdict
from amx_suite.trial.pool import ArmWorker, StartProber, StartWorker
from amx_suite.trial.session import TrialSession
from amx_suite.workloads.base import Inputs

#: Shares by which the second of two equal arms is slowed; 0 is the twin with nothing to find.
SLOWDOWNS = (0.0, 0.05, 0.10)
#: Halfway between equal and the least of the slowdowns.
_MINIMUM = 1 / 1.025

#: Starts a case's worker whose timed steps are slower by that share.
StartSlowed = Callable[[RunCase, float], ArmWorker]


class KnownTrial(msgspec.Struct, frozen=True):
    """One trial: what was injected, what was said, and at what cost.

    ``ratio`` is the measured speed of the slowed arm over its equal's, None without a quiet pair;
    ``seconds`` counts preparation as well.
    """

    slowdown: float
    verdict: Verdict
    reason: str
    ratio: float | None
    rounds: int
    seconds: float

    @property
    def is_false(self) -> bool:
        """Whether the verdict is wrong: a FAIL of equals, a PASS of a slower one."""
        return self.verdict is (Verdict.PASS if self.slowdown else Verdict.FAIL)

    @property
    def is_right(self) -> bool:
        """Whether the verdict is the known answer."""
        return self.verdict is (Verdict.FAIL if self.slowdown else Verdict.PASS)


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
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[KnownTrial]:
    """So many trials of each slowdown, in turn, each in fresh processes, as they end."""
    gate = Gate(
        case.workload, case.precision, Versus.TWIN, case.shape, _MINIMUM, "halfway to 5 % slower"
    )
    twin = msgspec.structs.replace(case, twin=True)
    for number in range(trials):
        trial = Trial(case.name, case.workload, case.shape, (case, twin), case.seed + number)
        for slowdown in SLOWDOWNS:
            session = TrialSession(
                trial,
                [gate],
                start=_slowing_twins(start, slowdown),
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
            (answer,) = result.gates
            yield KnownTrial(
                slowdown,
                answer.verdict,
                answer.reason,
                None if answer.speedup is None else answer.speedup.ratio,
                len(result.measurement.rounds),
                clock() - began,
            )


def _slowing_twins(start: StartSlowed, slowdown: float) -> StartWorker:
    return lambda case: start(case, slowdown if case.twin else 0.0)


def summarize(found: Sequence[KnownTrial]) -> str:
    """The verdicts of each kind, time to verdict and run-to-run spread, as a table."""
    header = ("trials", "right", "false", "undecided", "seconds", "ratio", "SD")
    lines = ["slower by" + "".join(f"{name:>10}" for name in header)]
    for slowdown in SLOWDOWNS:
        kind = [trial for trial in found if trial.slowdown == slowdown]
        if not kind:
            continue
        right, false = sum(t.is_right for t in kind), sum(t.is_false for t in kind)
        logs = [math.log(trial.ratio) for trial in kind if trial.ratio is not None]
        ratio = f"{math.exp(statistics.fmean(logs)):.3f}" if logs else "-"
        spread = f"{statistics.stdev(logs):.2%}" if len(logs) > 1 else "-"
        seconds = statistics.median(trial.seconds for trial in kind)
        cells = (
            len(kind),
            right,
            false,
            len(kind) - right - false,
            f"{seconds:.0f}",
            ratio,
            spread,
        )
        lines.append(f"{slowdown:<9.0%}" + "".join(f"{cell:>10}" for cell in cells))
    return "\n".join(lines)
