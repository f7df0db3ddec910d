"""The handler of an arm's child, jailed or free. PyTorch is imported when a request needs it."""

from __future__ import annotations

__all__ = ["ArmHandler", "free", "jailed", "may_use_tiles", "peak_bytes", "require_vectors"]

import gc
import logging
import os
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import msgspec

from amx_suite.child.channel import ArrayMap, Reply
from amx_suite.core.case import Mode, RunCase, Shape
from amx_suite.core.evidence import Evidence, Jail, KernelUse
from amx_suite.core.isa import AMX_FLAGS, Isa
from amx_suite.core.packages import installed
from amx_suite.engines import engine_for
from amx_suite.engines.base import Engine
from amx_suite.errors import NotApplicableError
from amx_suite.host.cpuid import read_cpuid
from amx_suite.host.cpuinfo import read_cpuinfo
from amx_suite.host.permission import amx_permission_held
from amx_suite.tmul.kernel_calls import require_executable_memory
from amx_suite.worker import process
from amx_suite.worker.arm import (
    Arm,
    InferenceArm,
    TrainingArm,
    prepare_arm,
    stamp_steps,
    time_steps,
    to_array,
    warm_up,
)
from amx_suite.worker.jail import enter_jail
from amx_suite.worker.kernel_log import add_up, kernel_log
from amx_suite.worker.mkl import mkl_kernels, mkl_level
from amx_suite.worker.onednn import announced_isa, onednn_kernels, onednn_level
from amx_suite.worker.placement import (
    Pins,
    memory_share,
    node_of,
    speculation,
    thread_cpus,
    thread_seconds,
)
from amx_suite.workloads.operators import build_operator

_A = TypeVar("_A", bound=Arm)


def jailed() -> ArmHandler:
    """The handler of an arm without AMX."""
    return ArmHandler(enter_jail())


def free() -> ArmHandler:
    """The handler of an AMX arm."""
    return ArmHandler(Jail.NOT_ASKED)


class ArmHandler:
    """Carries out the requests to one child. Holds at most one prepared arm."""

    requests: ClassVar[Any] = process.ArmRequest

    def __init__(self, jail: Jail) -> None:
        self._jail = jail
        self._pins = Pins(sorted(os.sched_getaffinity(0)))
        self._asked: process.Prepare | None = None
        self._arm: Arm | None = None
        #: The kernel log in which the libraries announced themselves.
        self._first_log = ""

    def handle(self, request: process.ArmRequest, arrays: ArrayMap) -> tuple[Reply, ArrayMap]:
        """Carry out one request."""
        match request:
            case process.Prepare():
                return self._prepare(request), {}
            case process.TakeSlice(iterations):
                arm = self._prepared(Arm)
                with self._pins.held():
                    return process.SliceTaken(time_steps(arm, iterations), iterations), {}
            case process.StampSteps(seconds, steps):
                arm = self._prepared(Arm)
                with self._pins.held():
                    return process.Done(), {"nanoseconds": stamp_steps(arm, seconds, steps)}
            case process.Prove():
                return self._prove(self._prepared(Arm)), {}
            case process.Outputs():
                return process.Done(), self._prepared(InferenceArm).outputs()
            case process.Losses(steps, batch):
                return process.Done(), self._restarted(batch, lambda arm: arm.losses(steps))
            case process.Gradients(batch):
                return process.Done(), self._restarted(batch, TrainingArm.gradients)
            case process.Checkpoint(path):
                self._prepared(TrainingArm).save(Path(path))
            case process.Release():
                self._release()
            case process.Operate():
                return _operate(request, arrays)
        return process.Done(), {}

    def _prepare(self, request: process.Prepare) -> process.Prepared:
        case = request.case
        self._release()
        if not request.inputs.download:
            # Without it transformers looks names of models up online. Read at its import.
            os.environ["HF_HUB_OFFLINE"] = "1"
        _set_up(engine_for(case.engine, case.precision), case.workload.mode, case)
        self._asked = request
        arm = prepare_arm(case, request.inputs)
        before = thread_seconds()
        iterations = warm_up(arm)
        self._pins.learn(before, thread_seconds())
        self._arm = arm
        gc.collect()
        gc.freeze()
        packages = (*arm.engine.distributions, *arm.model.distributions, "numpy")
        return process.Prepared(
            iterations=iterations,
            items_per_step=arm.model.items_per_step(case.shape),
            operations_per_step=arm.operations,
            unit=arm.model.unit,
            data=arm.data,
            peak_bytes=peak_bytes(),
            versions={name: installed(name) or "not installed" for name in packages},
        )

    def _prove(self, arm: Arm) -> process.Proof:
        # Each library announces itself in the first line that it logs, and MKL measures the clock
        # rate for that: not within the step.
        announcements = "" if self._first_log else kernel_log(_call_both)
        with self._pins.held():
            start = time.perf_counter()
            text = kernel_log(arm.step)
            milliseconds = (time.perf_counter() - start) * 1e3
            cpus = thread_cpus(self._pins.threads)
        # A second copy of oneDNN announces itself in the step.
        self._first_log = self._first_log or announcements + text
        isa = announced_isa(self._first_log)
        evidence = Evidence(
            isa=arm.case.isa.on(read_cpuinfo().flags),
            jail=self._jail,
            amx_permission=may_use_tiles(),
            onednn_isa=isa,
            kernels=_kernels(text, arm.case.cores),
            operations=arm.operations,
            step_milliseconds=milliseconds,
            read_back={
                **arm.engine.read_back(),
                "onednn": onednn_level(isa),
                "mkl": mkl_level(self._first_log),
            },
            cpus=cpus,
            memory_share=memory_share(node_of(cpus)),
            speculation=speculation(),
        )
        return process.Proof(evidence, peak_bytes())

    def _latest(self) -> process.Prepare:
        if self._asked is None:
            raise ValueError("nothing is prepared: Prepare comes first")
        return self._asked

    def _prepared(self, kind: type[_A]) -> _A:
        """The arm, prepared again if it was released."""
        if self._arm is None:
            self._prepare(self._latest())
        return _as(self._arm, kind)

    def _restarted(self, batch: int, work: Callable[[TrainingArm], ArrayMap]) -> ArrayMap:
        """``work`` on a training arm at its seeded start, with dropout off and another batch.

        The prepared arm is released before: memory need not hold both.
        """
        self._release()
        case, inputs = self._latest().case, self._latest().inputs
        resized = msgspec.structs.replace(case, shape=Shape(batch, case.shape.size))
        found = work(_as(prepare_arm(resized, inputs, deterministic=True), TrainingArm))
        self._release()
        return found

    def _release(self) -> None:
        self._arm = None
        gc.unfreeze()
        gc.collect()  # prepared models refer to themselves


def _as(arm: Arm | None, kind: type[_A]) -> _A:
    if isinstance(arm, kind):
        return arm
    raise NotApplicableError(
        f"{arm.case.name if arm else 'no arm'} cannot do this: only inference has outputs, only "
        "training has losses, gradients and checkpoints"
    )


def _operate(request: process.Operate, arrays: ArrayMap) -> tuple[process.Operated, ArrayMap]:
    precision = request.precision
    engine = engine_for(request.engine, precision)
    _set_up(engine, Mode.INFERENCE, request)
    import torch

    built = build_operator(request.operator, precision, arrays, request.settings)
    output: list[Any] = []
    with torch.no_grad():
        # INT8 is calibrated on the measured input itself, so that the error is the operator's and
        # not the calibration's.
        forward = engine.prepare_inference(built.module, built.inputs, precision, [built.inputs])

        def run() -> None:
            output.append(forward(*built.inputs))

        if request.isa.allows_amx:
            kernels = _kernels(kernel_log(run), request.cores)
        else:
            # The jail proves more than a log could.
            run()
            kernels = ()
    return process.Operated(kernels), {"output": to_array(output[0], precision)}


def _kernels(text: str, threads: int) -> tuple[KernelUse, ...]:
    return add_up((*onednn_kernels(text), *mkl_kernels(text, threads)))


def _set_up(engine: Engine, mode: Mode, asked: RunCase | process.Operate) -> None:
    """Fix what must be fixed before any model is built.

    What the engine or the CPU does not have is said first: PyTorch takes seconds to import.
    """
    engine.require(mode, asked.precision)
    require_vectors(asked.isa)
    require_executable_memory()
    # Libraries announce what their later releases will change.
    logging.disable(logging.WARNING)
    import torch

    torch.set_num_threads(asked.cores)
    torch.set_float32_matmul_precision("highest")


def require_vectors(isa: Isa) -> None:
    """Raise NotApplicableError on a CPU below the ceiling.

    A library that is told of more than the CPU has may believe it and die. Whether there is AMX is
    for the evidence to show.
    """
    flags = (*read_cpuinfo().flags, *AMX_FLAGS)
    lacking = [flag for flag in isa.spec.cpu_flags if flag not in flags]
    if lacking:
        raise NotApplicableError(
            f"nothing runs under the ceiling {isa} here: this CPU lacks {', '.join(lacking)} "
            "(/proc/cpuinfo); use a CPU that has them"
        )


def may_use_tiles() -> bool | None:
    """Whether this process may use tiles; None where neither the kernel nor the CPU says.

    A kernel that does not know the permission has not switched the tile state on in XCR0 either,
    and then every tile instruction faults. So an old kernel on a CPU without AMX is proof enough.
    """
    held = amx_permission_held()
    if held is None and (cpuid := read_cpuid()).xcr0 is not None:
        return None if cpuid.tile_states_enabled else False
    return held


def peak_bytes() -> int:
    """This process's peak resident memory."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _call_both() -> None:
    """One reorder of oneDNN and one product of MKL: they announce themselves when called."""
    import torch

    torch.ones(1, 1).to_mkldnn()
    torch.ones(8, 8) @ torch.ones(8, 8)
