"""Measures what the whole machine does: all instances step at once; and one instance's latency.

No gate judges these figures: they depend on the machine. What is judged is that each instance
provably ran its case, and that none is much slower than the others.
"""

from __future__ import annotations

__all__ = [
    "LATENCY_STEPS",
    "THROUGHPUT_SECONDS",
    "StartInstance",
    "judge_evidence",
    "judge_throughput",
    "latency_case",
    "measure_latency",
    "measure_throughput",
    "whole_machine_cases",
]

import itertools
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any, NamedTuple, Self, TypeVar

import msgspec

from amx_suite.core.case import Arm, Mode, Shape
from amx_suite.core.evidence import Evidence
from amx_suite.core.gate import DEFAULT_AMX_SHARE
from amx_suite.core.instance import Instance
from amx_suite.core.isa import Isa
from amx_suite.core.outliers import judge_outliers
from amx_suite.core.trial import Trial
from amx_suite.core.verdict import Decision, Verdict
from amx_suite.core.whole_machine import InstanceRate, Latency, Throughput
from amx_suite.errors import NotApplicableError
from amx_suite.host.standstill import awake
from amx_suite.trial.pool import HEADROOM
from amx_suite.trial.unproven import why_unproven
from amx_suite.worker.process import IsaWorker, Prepared
from amx_suite.workloads import WORKLOADS
from amx_suite.workloads.base import Inputs

#: As long as the soak, so that a machine that slows down when it is hot shows it.
THROUGHPUT_SECONDS = 600.0
#: The 99th percentile of fewer rests on less than ten steps.
LATENCY_STEPS = 1000
_TENTHS = 10
#: The level whose shapes are published ones, and the level whose size latency has.
_PUBLISHED, _SMALL = 4, 3

_T = TypeVar("_T")
#: Starts the worker of an arm on the CPUs of an instance.
StartInstance = Callable[[Arm, Instance], IsaWorker]


def whole_machine_cases(trials: Iterable[Trial]) -> tuple[Arm, ...]:
    """The arms that are measured: inference at published shapes, in precisions of every AMX.

    Each of them also has its arm without AMX, which any machine with the precision can run. Every
    further precision would take forty minutes a model.
    """
    return tuple(
        case
        for trial in trials
        if trial.workload.mode is Mode.INFERENCE
        and WORKLOADS[trial.workload.model].shapes.get((Mode.INFERENCE, _PUBLISHED)) == trial.shape
        for case in trial.arms
        if case.precision.spec.with_amx is Isa.AMX
    )


def latency_case(case: Arm) -> Arm:
    """The case with one image or sequence at a time, of the size of level 3."""
    size = WORKLOADS[case.workload.model].shapes[case.workload.mode, _SMALL].size
    return msgspec.structs.replace(case, shape=Shape(1, size))


class _Member(NamedTuple):
    """One instance with its worker; ``case`` has its number of cores."""

    case: Arm
    instance: Instance
    worker: IsaWorker


class _Crew:
    """The workers of some instances, each with a thread here that waits for it.

    At the end of the context all are closed, also those that are still at work.
    """

    def __init__(self, case: Arm, start: StartInstance, most: int) -> None:
        self._case = case
        self._start = start
        self._threads = ThreadPoolExecutor(most)
        self.members: list[_Member] = []

    def add(self, instance: Instance) -> _Member:
        """Start the worker of an instance."""
        case = msgspec.structs.replace(self._case, cores=instance.cores)
        self.members.append(_Member(case, instance, self._start(case, instance)))
        return self.members[-1]

    def all_do(self, work: Callable[[_Member], _T], members: Sequence[_Member]) -> list[_T]:
        """``work`` on each of the members at once; the first error is raised at once."""
        futures = [self._threads.submit(work, member) for member in members]
        for future in as_completed(futures):
            future.result()
        return [future.result() for future in futures]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        for member in self.members:
            member.worker.close()
        self._threads.shutdown()


def measure_throughput(
    case: Arm,
    instances: Sequence[Instance],
    *,
    layout: str,
    start: StartInstance,
    inputs: Inputs,
    seconds: float,
    memory: Callable[[], int],
    idle_cores: int = 0,
    show: Callable[[str], None] = lambda text: None,
) -> Throughput:
    """Prepare the case on every instance, then let all step for ``seconds``, at least one step.

    What the first one needs tells whether ``memory()`` holds the others. Raises NotApplicableError
    where it does not or where the engine or CPU does not have the case, and ChildError for a worker
    that fails, whose label names its instance.
    """
    number = f"{len(instances)} instance{'s' * (len(instances) > 1)}"
    with _Crew(case, start, len(instances)) as crew:
        show(f"{case.name}, {number}, {layout}: preparing on {instances[0]}")
        first = crew.add(instances[0])
        prepared = first.worker.prepare(first.case, inputs)
        _require_memory(prepared, len(instances), memory())
        if instances[1:]:
            show(f"{case.name}, {number}, {layout}: preparing on the others")
        others = [crew.add(instance) for instance in instances[1:]]
        crew.all_do(lambda member: member.worker.prepare(member.case, inputs), others)
        show(f"{case.name}, {number}, {layout}: at work for {seconds:.0f} s")
        with awake():
            stamps = crew.all_do(lambda m: m.worker.stamp_steps(seconds=seconds), crew.members)
        show(f"{case.name}, {number}, {layout}: taking evidence")
        evidence = [p.evidence for p in crew.all_do(lambda m: m.worker.prove(), crew.members)]
        cases = [member.case for member in crew.members]
    # Items per second of each instance in each tenth of the time.
    rates, together = _rates_in_tenths(stamps, prepared.items_per_step)
    return Throughput(
        case=cases[0],
        layout=layout,
        unit=prepared.unit,
        seconds=together,
        tenths=tuple(map(float, rates.sum(axis=0))),
        instances=tuple(
            InstanceRate(instance, float(rate), len(own) - 1, proof)
            for instance, rate, own, proof in zip(
                instances, rates.mean(axis=1), stamps, evidence, strict=True
            )
        ),
        idle_cores=idle_cores,
    )


def measure_latency(
    case: Arm,
    instance: Instance,
    *,
    start: StartInstance,
    inputs: Inputs,
    show: Callable[[str], None] = lambda text: None,
) -> Latency:
    """Prepare the case on the instance and time ``LATENCY_STEPS`` steps, each by itself.

    Raises NotApplicableError and ChildError as ``measure_throughput``.
    """
    with _Crew(case, start, 1) as crew:
        member = crew.add(instance)
        show(f"{case.name}, {case.shape}: preparing on {instance}")
        member.worker.prepare(member.case, inputs)
        show(f"{case.name}, {case.shape}: timing {LATENCY_STEPS} steps")
        with awake():
            stamps = member.worker.stamp_steps(steps=LATENCY_STEPS)
        proof = member.worker.prove()
    seconds = (float(after - before) for before, after in itertools.pairwise(stamps))
    return Latency(member.case, instance, tuple(seconds), proof.evidence)


def judge_throughput(found: Throughput, *, virtual: bool) -> Decision:
    """NO_EVIDENCE for an instance that is not proven to have run its case, else by the outliers."""
    for each in found.instances:
        case = msgspec.structs.replace(found.case, cores=each.instance.cores)
        decision = judge_evidence(case, each.evidence)
        if decision.verdict is not Verdict.PASS:
            return decision._replace(reason=f"{each.instance}: {decision.reason}")
    return judge_outliers(found.slow, virtual=virtual)


def judge_evidence(case: Arm, evidence: Evidence) -> Decision:
    """NO_EVIDENCE if the evidence does not prove that the case ran, else PASS."""
    proven = Decision(Verdict.PASS, "it ran what it says")
    return why_unproven(case, evidence, DEFAULT_AMX_SHARE) or proven


def _require_memory(prepared: Prepared, instances: int, available: int) -> None:
    needed = HEADROOM * prepared.peak_bytes * (instances - 1)
    if needed > available:
        raise NotApplicableError(
            f"memory does not hold {instances} instances: the first one took "
            f"{prepared.peak_bytes / 2**30:.1f} GiB, so the others need {needed / 2**30:.1f} GiB, "
            f"{available / 2**30:.1f} GiB are available and {(needed - available) / 2**30:.1f} GiB "
            "are missing; free memory, or lift the limit of this container"
        )


def _rates_in_tenths(stamps: Sequence[Any], items_per_step: int) -> tuple[Any, float]:
    """Items per second by instance and tenth, shape [instances, 10], and the seconds of all tenths.

    ``stamps`` holds each instance's times before and after each step. The time is the one in which
    all were at work; a step that lies in two tenths counts for each by its share.
    """
    import numpy as np

    begin, end = max(each[0] for each in stamps), min(each[-1] for each in stamps)
    if begin >= end:
        raise NotApplicableError(
            "the instances did not step at the same time: the first one ended "
            f"{begin - end:.3f} s before the last one began; give them more time (--budget)"
        )
    edges = np.linspace(begin, end, _TENTHS + 1)
    done = np.array([np.interp(edges, each, np.arange(len(each))) for each in stamps])
    return np.diff(done) * items_per_step / ((end - begin) / _TENTHS), float(end - begin)
