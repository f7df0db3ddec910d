"""What a worker's timed loop adds to a direct loop over the same prepared model.

``python benchmarks/worker_overhead.py`` prepares ResNet50 (FP32, batch 1) as a worker does. It then
alternates, in random order, between a slice as the worker times it and a bare loop around the same
forward pass, and prints both medians and the difference of the pairs. The worker must add at most
1 %. Run it on a quiet machine.
"""

from __future__ import annotations

import os
import random
import statistics
import time

from amx_suite.core.case import Mode, RunCase, Shape, Workload
from amx_suite.core.evidence import Jail
from amx_suite.core.isa import Isa
from amx_suite.core.precision import Precision
from amx_suite.engines import ENGINES
from amx_suite.host.instance import choose_instance
from amx_suite.host.limits import read_limits
from amx_suite.host.topology import read_topology
from amx_suite.worker.arm import InferenceArm
from amx_suite.worker.handler import ArmHandler
from amx_suite.worker.process import Prepare, SliceTaken, TakeSlice, child_environment

_ROUNDS = 60
_STEPS = 5


def main() -> None:
    """Measure and print."""
    instance = choose_instance(read_topology(), read_limits())
    workload = Workload("resnet50", Mode.INFERENCE)
    shape = Shape(1, 224)
    case = RunCase(workload, "ipex", Precision.FP32, Isa.NO_AMX, shape, instance.cores)
    # The libraries read these when the handler first imports them.
    own = ENGINES[case.engine].variables(case.isa)
    os.environ.update(child_environment(case.isa, instance.cores, {}, own).chosen)
    os.sched_setaffinity(0, instance.cpus)
    print(f"preparing {case.id} ...", flush=True)
    handler = ArmHandler(Jail.NOT_ASKED)
    handler.handle(Prepare(case), {})
    arm = handler._prepared(InferenceArm)

    def by_worker() -> float:
        reply, _ = handler.handle(TakeSlice(_STEPS), {})
        assert isinstance(reply, SliceTaken)
        return reply.seconds / _STEPS

    def directly() -> float:
        start = time.perf_counter()
        for _ in range(_STEPS):
            arm.forward(*arm.inputs)
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
