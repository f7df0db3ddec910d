"""One arm inside its child: a prepared model whose step can be repeated and examined."""

from __future__ import annotations

__all__ = [
    "SLICE_SECONDS",
    "Arm",
    "InferenceArm",
    "TrainingArm",
    "count_operations",
    "prepare_arm",
    "stamp_steps",
    "time_steps",
    "to_array",
    "warm_up",
]

import gc
import itertools
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amx_suite.core.case import Mode, RunCase
from amx_suite.core.precision import Precision
from amx_suite.engines import engine_for
from amx_suite.engines.base import Engine, Forward
from amx_suite.errors import NotApplicableError, OutputError
from amx_suite.files import new_file
from amx_suite.workloads import workload
from amx_suite.workloads.base import Batch, Inputs, ModelWorkload

if TYPE_CHECKING:
    import numpy as np
    import torch

    from amx_suite.child.channel import ArrayMap

#: Batches that static quantization observes; none of them is the measured one.
_CALIBRATION_BATCHES = 2
#: Training repeats these batches, so that a step's data is never cold and the loss falls fast
#: enough for a wrong gradient to show.
_TRAINING_BATCHES = 2

#: The length of an arm's turn: long beside a step's jitter, short beside the time for which a
#: neighbour stays or is away.
SLICE_SECONDS = 0.3
#: The warm-up ends when two steps in a row take the same time within this share, or at a limit.
_STABLE_WITHIN = 0.05
_MOST_WARMUP_STEPS = 20
_MOST_WARMUP_SECONDS = 3.0
_LEAST_WARMUP_STEPS = {Mode.INFERENCE: 3, Mode.TRAINING: 2}


@dataclass(frozen=True)
class Arm:
    """A prepared model.

    ``data`` says what its inputs are; ``operations`` are those of a step, 0 if not counted.
    """

    case: RunCase
    model: ModelWorkload
    engine: Engine
    data: str
    operations: int

    def step(self) -> Any:
        """Do one step."""
        raise NotImplementedError


@dataclass(frozen=True)
class InferenceArm(Arm):
    """A prepared forward pass on one batch."""

    forward: Forward
    inputs: tuple[torch.Tensor, ...]

    def step(self) -> Any:
        """One forward pass."""
        return self.forward(*self.inputs)

    def outputs(self) -> ArrayMap:
        """``logits`` of the batch, FP64 for the reference, else FP32."""
        return {"logits": to_array(self.step(), self.case.precision)}


@dataclass(frozen=True)
class TrainingArm(Arm):
    """A module and optimizer that train on a few batches in turn."""

    module: torch.nn.Module
    optimizer: torch.optim.Optimizer
    batches: Iterator[Batch]

    def step(self) -> torch.Tensor:
        """Forward, backward and update on the next batch; returns the loss before the update."""
        loss = self._backward()
        self.optimizer.step()
        return loss

    def losses(self, steps: int) -> ArrayMap:
        """``losses`` of the next steps, FP64, shape [steps]."""
        import numpy as np

        found = [float(self.step().detach()) for _ in range(steps)]
        return {"losses": np.array(found, dtype=np.float64)}

    def gradients(self) -> ArrayMap:
        """The next batch's gradients by parameter name; no update."""
        self._backward()
        found = self.engine.gradients(self.module, self.optimizer)
        return {name: to_array(gradient, self.case.precision) for name, gradient in found.items()}

    def save(self, path: Path) -> None:
        """Write ``{model, optimizer, case}`` to ``path``, atomically; OutputError if it fails."""
        import torch

        state = {
            "model": self.module.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "case": self.case.id,
        }
        try:
            with new_file(path) as file:
                torch.save(state, file)
        except (OutputError, RuntimeError) as error:
            raise OutputError(f"the checkpoint '{path}' cannot be written: {error}") from error

    def _backward(self) -> torch.Tensor:
        batch = next(self.batches)
        self.optimizer.zero_grad(set_to_none=True)
        with self.engine.training_pass(self.case.precision):
            output = self.module(*batch.inputs)
            loss = self.model.loss(output, batch.targets)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss


def prepare_arm(case: RunCase, inputs: Inputs, *, deterministic: bool = False) -> Arm:
    """Build the case's model and data and have the engine prepare them.

    From here on this process records gradients if the case trains, and none if it does not.
    ``deterministic`` leaves dropout out and fixes the order of sums; such an arm is not timed, so
    its operations are not counted.

    Raises EngineUnavailableError, NotApplicableError or UsageError.
    """
    model, engine = workload(case.workload.model), engine_for(case.engine, case.precision)
    import torch

    training = case.workload.mode is Mode.TRAINING
    torch.set_grad_enabled(training)
    # Else inductor adds up the gradient of an embedding in the order in which its threads come.
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    calibration = _CALIBRATION_BATCHES if case.precision.spec.is_quantized else 0
    wanted = _TRAINING_BATCHES if training else 1 + calibration
    batches, data = model.batches(case, inputs, wanted)
    module = model.build(case, inputs, deterministic=deterministic)
    operations = 0 if deterministic else count_operations(model, module, batches[0], training)
    if training:
        prepared = engine.prepare_training(module, model.optimizer(module), case.precision)
        repeated = itertools.cycle(batches)
        return TrainingArm(case, model, engine, data, operations, *prepared, repeated)
    first, *others = (batch.inputs for batch in batches)
    forward = engine.prepare_inference(module, first, case.precision, others)
    return InferenceArm(case, model, engine, data, operations, forward, first)


def warm_up(arm: Arm) -> int:
    """Repeat the step until its time is stable; returns how many steps fill a slice, at least 1.

    The FP64 reference is slow and never timed: it is not warmed up, and the result is 0.
    """
    if arm.case.precision is Precision.FP64:
        return 0
    seconds: list[float] = []
    least = _LEAST_WARMUP_STEPS[arm.case.workload.mode]
    while True:
        seconds.append(time_steps(arm, 1))
        if len(seconds) < least:
            continue
        before, last = seconds[-2:]
        stable = abs(last - before) <= _STABLE_WITHIN * before
        # Some engines compile in the first step, which warms nothing up.
        warm = sum(seconds[1:])
        if stable or len(seconds) >= _MOST_WARMUP_STEPS or warm >= _MOST_WARMUP_SECONDS:
            return max(1, math.ceil(SLICE_SECONDS / min(before, last)))


def time_steps(arm: Arm, iterations: int) -> float:
    """Seconds of consecutive steps, as ``stamp_steps``."""
    stamps = stamp_steps(arm, 0.0, iterations)
    return int(stamps[-1] - stamps[0]) * 1e-9


def stamp_steps(arm: Arm, seconds: float, steps: int) -> np.ndarray[Any, Any]:
    """Step until ``seconds`` are over and ``steps`` are done; the time before and after each step.

    Nothing else runs meanwhile, not even garbage collection. The times are nanoseconds of the
    monotonic clock, INT64, shape [steps done + 1]. Raises NotApplicableError for the FP64
    reference.
    """
    import numpy as np

    if arm.case.precision is Precision.FP64:
        raise NotApplicableError(f"{arm.case.name} is the FP64 reference and is never timed")
    # CLOCK_MONOTONIC on Linux, which all processes share.
    step, clock = arm.step, time.perf_counter_ns
    gc.disable()
    try:
        stamps = [clock()]
        while len(stamps) <= steps or stamps[-1] - stamps[0] < seconds * 1e9:
            step()
            stamps.append(clock())
        return np.array(stamps, dtype=np.int64)
    finally:
        gc.enable()


def count_operations(
    model: ModelWorkload, module: torch.nn.Module, batch: Batch, training: bool
) -> int:
    """Multiplications and additions of the matrix products of one step, backward pass included.

    PyTorch's own counter counts them on fake tensors, so nothing is computed. The engine's prepared
    model has the same products, in whatever precision. The module stays as it is.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.func import functional_call
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    fake = FakeTensorMode(allow_non_fake_inputs=True)
    tensors = itertools.chain(module.named_parameters(), module.named_buffers())
    state: dict[str, torch.Tensor] = {name: fake.from_tensor(t) for name, t in tensors}
    inputs, targets = map(fake.from_tensor, batch.inputs), fake.from_tensor(batch.targets)
    counter = FlopCounterMode(display=False)
    # The counter has no formula for the CPU's fused attention, but for the two products in it.
    with fake, sdpa_kernel(SDPBackend.MATH), counter:
        output = functional_call(module, state, tuple(inputs))
        if training:
            model.loss(output, targets).backward()  # type: ignore[no-untyped-call]
    return int(counter.get_total_flops())


def to_array(tensor: torch.Tensor, precision: Precision) -> np.ndarray[Any, Any]:
    """A result as an array of a type that numpy has: FP64 for the reference, else FP32."""
    wide = tensor.detach().double() if precision is Precision.FP64 else tensor.detach().float()
    return wide.contiguous().numpy()
