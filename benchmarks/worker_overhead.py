"""What a worker's timed loop adds to a direct loop over the same prepared model.

``python benchmarks/worker_overhead.py`` prepares ResNet50 (FP32, batch 1) as a worker does, then
alternates, in random order, between a slice as the worker times it and a bare loop around the same
forward pass, and prints both medians and the difference of the pairs. The worker must add at most
1 %. Run it on a quiet machine.
"""

from __future__ import annotations

import os
import random
import statistics
import time

_ROUNDS = 60
_STEPS = 5


def main() -> None:
    """Measure and print."""
    from amx_suite.core.case import Mode, Precision, RunCase, Shape, Workload
    from amx_suite.core.isa import Isa
    from amx_suite.engines import ENGINES
    from amx_suite.testing.selection import bound_cpus
    from amx_suite.worker.environment import child_environment
    from amx_suite.workloads.base import Inputs

    threads = len(os.sched_getaffinity(0))
    own = ENGINES["ipex"].variables(Isa.AVX512)
    # Read by the libraries when they are first used, so before any of them is imported.
    os.environ.update(child_environment(Isa.AVX512, threads, {}, own).chosen)
    from amx_suite.core.evidence import Jail
    from amx_suite.worker import arm as arms
    from amx_suite.worker.messages import Launch, Prepare, SliceTaken, TakeSlice
    from amx_suite.worker.session import Session

    case = RunCase(
        Workload("resnet50", Mode.INFERENCE),
        "ipex",
        Precision.FP32,
        Isa.AVX512,
        Shape(1, 224),
        threads,
    )
    print(f"preparing {case.id} ...", flush=True)
    os.sched_setaffinity(0, bound_cpus(threads))
    launch = Launch(case.isa, case.engine, threads)
    session = Session(launch, Jail.NOT_ASKED)
    session.handle(Prepare(case, Inputs()), {})
    arm = session._prepared_arm()
    assert isinstance(arm, arms.InferenceArm)
    forward, inputs = arm._forward, arm._inputs

    def by_worker() -> float:
        reply, _ = session.handle(TakeSlice(_STEPS), {})
        assert isinstance(reply, SliceTaken)
        return reply.seconds / _STEPS

    def directly() -> float:
        with arm.guard():
            start = time.perf_counter()
            for _ in range(_STEPS):
                forward(*inputs)
            return (time.perf_counter() - start) / _STEPS

    order = random.Random(0)
    taken: dict[str, list[float]] = {"worker": [], "direct": []}
    loops = [("worker", by_worker), ("direct", directly)]
    for number in range(_ROUNDS):
        order.shuffle(loops)
        for name, loop in loops:
            taken[name].append(loop())
        if number % 10 == 9:
            print(f"{number + 1} of {_ROUNDS} rounds", flush=True)
    worker, direct = taken["worker"], taken["direct"]
    added = statistics.median(w / d for w, d in zip(worker, direct, strict=True)) - 1
    print(f"median step: worker {statistics.median(worker) * 1e3:.3f} ms", end=", ")
    print(f"direct {statistics.median(direct) * 1e3:.3f} ms; the worker adds {added:+.2%}")


if __name__ == "__main__":
    main()
