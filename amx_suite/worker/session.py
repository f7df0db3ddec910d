"""What a child does with each request: the arm it holds, and how failures are told."""

from __future__ import annotations

__all__ = ["Session"]

import gc
import importlib.metadata
import os
import time
from pathlib import Path

from amx_suite.child.channel import ArrayMap
from amx_suite.child.messages import Reply
from amx_suite.core.case import Mode, Precision
from amx_suite.core.evidence import Evidence, Jail
from amx_suite.core.isa import Isa
from amx_suite.engines import engine_for
from amx_suite.engines.base import Engine
from amx_suite.errors import NotApplicableError
from amx_suite.host.cpuinfo import read_cpuinfo
from amx_suite.worker import arm as arms
from amx_suite.worker import messages as words
from amx_suite.worker.capture import kernel_log
from amx_suite.worker.mkl import mkl_level, parse_mkl
from amx_suite.worker.timing import time_steps, warm_up
from amx_suite.worker.verbose import onednn_level, parse_log
from amx_suite.workloads import workload
from amx_suite.workloads.base import Inputs, ModelWorkload
from amx_suite.workloads.operators import build_operator

#: What stands for MKL's announcement in a build of PyTorch without it.
_NO_MKL = "not built in"


class Session:
    """Answers the requests of one child. Holds at most one prepared arm.

    ``jail`` is what came of the attempt to have the kernel refuse AMX. PyTorch is imported by the
    first request that needs it.
    """

    def __init__(self, launch: words.Launch, jail: Jail) -> None:
        self._launch = launch
        self._jail = jail
        self._prepare: words.Prepare | None = None
        self._arm: arms.Arm | None = None
        self._onednn_isa = ""
        self._mkl_announced = ""
        self._torch_is_set_up = False

    def handle(self, request: words.ArmRequest, arrays: ArrayMap) -> tuple[Reply, ArrayMap]:
        """Carry out one request."""
        match request:
            case words.Prepare():
                return self._prepare_case(request), {}
            case words.TakeSlice(iterations):
                return words.SliceTaken(self._take_slice(iterations), iterations), {}
            case words.Prove():
                return self._prove(), {}
            case words.Outputs():
                arm = self._prepared_arm()
                if not isinstance(arm, arms.InferenceArm):
                    raise NotApplicableError(f"{arm.case.name} trains: it has losses, no outputs")
                return words.Arrays(), arm.outputs()
            case words.Losses(steps, batch):
                asked, model, stack = self._started_anew()
                found = arms.first_losses(asked.case, asked.inputs, model, stack, steps, batch)
                gc.collect()  # a prepared model refers to itself and would stay beside the next
                return words.Arrays(), found
            case words.Gradients(batch):
                asked, model, stack = self._started_anew()
                found = arms.first_gradients(asked.case, asked.inputs, model, stack, batch)
                gc.collect()
                return words.Arrays(), found
            case words.Checkpoint(path):
                arm = self._prepared_arm()
                if not isinstance(arm, arms.TrainingArm):
                    raise NotApplicableError(f"{arm.case.name} does not train: nothing to save")
                arm.save(Path(path))
                return words.Done(), {}
            case words.Release():
                self._release_arm()
                return words.Done(), {}
            case words.Operate():
                return words.Arrays(), self._operate(request, arrays)
        raise ValueError(f"a session has no answer to {type(request).__name__}")

    def _prepare_case(self, request: words.Prepare) -> words.Prepared:
        case = request.case
        if case.isa is not self._launch.isa or case.engine != self._launch.engine:
            raise ValueError(
                f"case {case.id} came to a child for {self._launch.engine} at {self._launch.isa}"
            )
        model, stack = workload(case.workload.model), engine_for(case.engine, case.precision)
        self._set_up(request.inputs)
        self._release_arm()
        self._prepare = request
        arm = arms.prepare_arm(case, request.inputs, model, stack)
        timing = warm_up(arm, request.slice_seconds)
        self._arm = arm
        gc.collect()
        gc.freeze()
        return words.Prepared(
            iterations=timing.iterations,
            step_seconds=timing.step_seconds,
            items_per_step=model.items_per_step(case.shape),
            products=arm.products,
            unit=model.unit,
            data=arm.data,
            peak_bytes=peak_bytes(),
            versions=_versions((*stack.distributions, *model.distributions, "numpy")),
        )

    def _take_slice(self, iterations: int) -> float:
        if iterations < 1:
            raise ValueError(f"a slice has at least one step, not {iterations}")
        return time_steps(self._prepared_arm(), iterations, self._asked().slowdown)

    def _prove(self) -> words.Proof:
        from amx_suite.host.permission import amx_permission_held

        arm = self._prepared_arm()
        # Each library announces itself with the first line that it logs, and MKL measures the clock
        # rate for that: not within the step.
        announced = "" if self._mkl_announced else kernel_log(_call_both)
        with arm.guard():
            start = time.perf_counter()
            text = kernel_log(arm.step)
            milliseconds = (time.perf_counter() - start) * 1e3
        self._onednn_isa = self._onednn_isa or parse_log(announced + text).isa
        self._mkl_announced = self._mkl_announced or parse_mkl(announced, 1).announced or _NO_MKL
        onednn, mkl = parse_log(text).kernels, parse_mkl(text, self._launch.threads).kernels
        stack = engine_for(arm.case.engine, arm.case.precision)
        evidence = Evidence(
            isa=self._launch.isa,
            jail=self._jail,
            amx_permission=amx_permission_held(),
            onednn_isa=self._onednn_isa,
            kernels=tuple(sorted((*onednn, *mkl), key=lambda use: -use.milliseconds)),
            step_milliseconds=milliseconds,
            read_back={
                **stack.read_back(),
                "onednn": onednn_level(self._onednn_isa),
                "mkl": mkl_level(self._mkl_announced),
            },
        )
        return words.Proof(evidence, peak_bytes())

    def _operate(self, request: words.Operate, arrays: ArrayMap) -> ArrayMap:
        self._set_up(Inputs())
        import torch

        stack = engine_for(self._launch.engine, request.precision)
        if (reason := stack.why_not(Mode.INFERENCE, request.precision)) is not None:
            raise NotApplicableError(reason)
        built = build_operator(request.operator, request.precision, arrays, request.settings)
        with torch.no_grad():
            # INT8 is calibrated on the very input: the operator's error is wanted, and not how far
            # the calibration happened to be from it.
            forward = stack.prepare_inference(
                built.module, built.inputs, request.precision, [built.inputs]
            )
            output = forward(*built.inputs)
        exact = request.precision is Precision.FP64
        wide = output.double() if exact else output.float()
        return {"output": wide.contiguous().numpy()}

    def _set_up(self, inputs: Inputs) -> None:
        """Fix what must be fixed before any model is built; the libraries are imported here.

        Raises NotApplicableError on a CPU without what the ceiling allows.
        """
        _require_vectors(self._launch.isa)
        if not inputs.download:
            # Read when the library is imported; without it, names of models are looked up online.
            os.environ["HF_HUB_OFFLINE"] = "1"
        if self._torch_is_set_up:
            return
        import torch

        torch.set_num_threads(self._launch.threads)
        torch.set_float32_matmul_precision("highest")
        self._torch_is_set_up = True

    def _prepared_arm(self) -> arms.Arm:
        """The arm, prepared anew if it had to make room."""
        if self._arm is None:
            self._prepare_case(self._asked())
        if self._arm is None:
            raise ValueError("nothing is prepared: Prepare comes first")
        return self._arm

    def _asked(self) -> words.Prepare:
        if self._prepare is None:
            raise ValueError("nothing is prepared: Prepare comes first")
        return self._prepare

    def _started_anew(self) -> tuple[words.Prepare, ModelWorkload, Engine]:
        """What a second model is built from; the prepared one makes room, or both fill memory."""
        asked = self._asked()
        self._release_arm()
        case = asked.case
        return asked, workload(case.workload.model), engine_for(case.engine, case.precision)

    def _release_arm(self) -> None:
        self._arm = None
        gc.unfreeze()
        gc.collect()


def _require_vectors(isa: Isa) -> None:
    """Raise NotApplicableError if the CPU is below the ceiling.

    A library that is told of more than there is may believe it, and die. Tiles are not asked for:
    whether AMX is there the host has been asked, and whether it ran the evidence tells.
    """
    flags = read_cpuinfo().flags
    lacking = [
        flag for flag in isa.spec.cpu_flags if not flag.startswith("amx") and flag not in flags
    ]
    if lacking:
        raise NotApplicableError(
            f"nothing runs under the ceiling {isa} here: this CPU lacks {', '.join(lacking)} "
            "(/proc/cpuinfo); use a CPU that has them"
        )


def peak_bytes() -> int:
    """This process's peak resident memory (VmHWM of /proc/self/status), 0 if it is not told."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _call_both() -> None:
    """One reorder of oneDNN and one product of MKL: they announce themselves when called."""
    import torch

    torch.ones(1, 1).to_mkldnn()
    torch.ones(8, 8) @ torch.ones(8, 8)


def _versions(distributions: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for name in dict.fromkeys(distributions):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found
