"""One arm inside its child: a prepared model whose step can be repeated and examined."""

from __future__ import annotations

__all__ = [
    "Arm",
    "InferenceArm",
    "TrainingArm",
    "first_gradients",
    "first_losses",
    "prepare_arm",
]

import itertools
import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from amx_suite.core.case import Mode, Precision, RunCase, Shape
from amx_suite.core.roofline import Product
from amx_suite.engines.base import Engine, Forward, PreparedTraining, require
from amx_suite.errors import NotApplicableError, OutputError
from amx_suite.worker.flops import step_products
from amx_suite.workloads.base import Batch, Inputs, ModelWorkload

if TYPE_CHECKING:
    import numpy as np
    import torch

    from amx_suite.child.channel import ArrayMap

#: Batches that static quantization observes, none of which is the one that is measured.
_CALIBRATION_BATCHES = 2
#: Batches that training walks through again and again, so that a step's data is never cold and the
#: loss falls fast enough for a wrong gradient to show.
_TRAINING_BATCHES = 2


class InferenceArm:
    """A prepared forward pass on one batch. ``products`` are those of a step."""

    def __init__(
        self,
        case: RunCase,
        workload: ModelWorkload,
        forward: Forward,
        batch: Batch,
        data: str,
        products: tuple[Product, ...],
    ) -> None:
        self.case = case
        self.data = data
        self.products = products
        self._workload = workload
        self._forward = forward
        self._inputs = batch.inputs

    def step(self) -> Any:
        """One forward pass; the caller holds ``guard``."""
        return self._forward(*self._inputs)

    def guard(self) -> AbstractContextManager[Any]:
        """The context in which steps run: no autograd graph is recorded."""
        import torch

        return torch.no_grad()

    def outputs(self) -> ArrayMap:
        """``logits`` of the batch, FP64 for the arbiter, else FP32."""
        with self.guard():
            logits = self._workload.logits(self.step())
        return {"logits": _array(logits, self.case)}


class TrainingArm:
    """A module and optimizer that train on a few batches in turn."""

    def __init__(
        self,
        case: RunCase,
        workload: ModelWorkload,
        engine: Engine,
        prepared: PreparedTraining,
        batches: list[Batch],
        data: str,
        products: tuple[Product, ...],
    ) -> None:
        self.case = case
        self.data = data
        self.products = products
        self._workload = workload
        self._engine = engine
        self._prepared = prepared
        self._batches = itertools.cycle(batches)

    def step(self) -> torch.Tensor:
        """Forward, backward and update on the next batch; returns the loss before the update."""
        loss = self._backward()
        self._prepared.optimizer.step()
        return loss

    def guard(self) -> AbstractContextManager[Any]:
        """The context in which steps run."""
        import torch

        return torch.set_grad_enabled(True)

    def losses(self, steps: int) -> ArrayMap:
        """``losses`` of the next steps, FP64, shape [steps]."""
        import numpy as np

        with self.guard():
            found = [float(self.step().detach()) for _ in range(steps)]
        return {"losses": np.array(found, dtype=np.float64)}

    def gradients(self) -> ArrayMap:
        """The next batch's gradients by parameter name; no update."""
        with self.guard():
            self._backward()
        found = self._engine.gradients(self._prepared)
        return {name: _array(gradient, self.case) for name, gradient in found.items()}

    def save(self, path: Path) -> None:
        """Write ``{model, optimizer, case}`` beside ``path``, then rename; OutputError if it fails.

        A file of that name is whole at any moment, either the former or the new one.
        """
        import torch

        state = {
            "model": self._prepared.module.state_dict(),
            "optimizer": self._prepared.optimizer.state_dict(),
            "case": self.case.id,
        }
        partial = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            with partial.open("wb") as file:
                torch.save(state, file)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except (OSError, RuntimeError) as error:
            partial.unlink(missing_ok=True)
            raise OutputError(f"the checkpoint '{path}' cannot be written: {error}") from error

    def _backward(self) -> torch.Tensor:
        batch = next(self._batches)
        self._prepared.optimizer.zero_grad(set_to_none=True)
        with self._prepared.autocast():
            output = self._prepared.module(*batch.inputs)
            loss = self._workload.loss(output, batch.targets)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss


Arm = InferenceArm | TrainingArm


def prepare_arm(
    case: RunCase,
    inputs: Inputs,
    workload: ModelWorkload,
    engine: Engine,
    *,
    deterministic: bool = False,
) -> Arm:
    """Build the case's model and data and have the engine prepare them.

    ``deterministic`` leaves dropout out; such an arm is not timed, and its products not counted.

    Raises EngineUnavailableError, NotApplicableError or UsageError.
    """
    require(engine, case.workload.mode, case.precision)
    training = case.workload.mode is Mode.TRAINING
    quantized = case.precision is Precision.INT8
    wanted = _TRAINING_BATCHES if training else 1 + _CALIBRATION_BATCHES * quantized
    made, data = workload.batches(case, inputs, wanted)
    module = workload.build(case, inputs, deterministic=deterministic)
    products: tuple[Product, ...] = ()
    if not deterministic:
        products = step_products(workload, case.workload.mode, module, made[0])
    if workload.channels_last:
        module, made = _channels_last(module, made)
    if training:
        prepared = engine.prepare_training(module, workload.optimizer(module), case.precision)
        return TrainingArm(case, workload, engine, prepared, made, data, products)
    calibration = [batch.inputs for batch in made[1:]]
    forward = engine.prepare_inference(module, made[0].inputs, case.precision, calibration)
    return InferenceArm(case, workload, forward, made[0], data, products)


def first_losses(
    case: RunCase, inputs: Inputs, workload: ModelWorkload, engine: Engine, steps: int, batch: int
) -> ArrayMap:
    """``losses`` of the first steps from the seeded start, dropout off, on ``batch`` items."""
    return _from_the_start(case, inputs, workload, engine, batch).losses(steps)


def first_gradients(
    case: RunCase, inputs: Inputs, workload: ModelWorkload, engine: Engine, batch: int
) -> ArrayMap:
    """Gradients of the first step from the seeded start, dropout off, on ``batch`` items."""
    return _from_the_start(case, inputs, workload, engine, batch).gradients()


def _from_the_start(
    case: RunCase, inputs: Inputs, workload: ModelWorkload, engine: Engine, batch: int
) -> TrainingArm:
    if case.workload.mode is not Mode.TRAINING:
        raise NotApplicableError(f"{case.name} does not train: it has no losses or gradients")
    resized = msgspec.structs.replace(case, shape=Shape(batch, case.shape.size))
    arm = prepare_arm(resized, inputs, workload, engine, deterministic=True)
    if not isinstance(arm, TrainingArm):
        raise TypeError(f"{case.name} trains, and a {type(arm).__name__} was prepared")
    return arm


def _channels_last(
    module: torch.nn.Module, batches: list[Batch]
) -> tuple[torch.nn.Module, list[Batch]]:
    import torch

    layout = torch.channels_last
    # mypy knows no memory_format on Module.to.
    converted: Any = module
    laid_out = [
        Batch(tuple(tensor.to(memory_format=layout) for tensor in batch.inputs), batch.targets)
        for batch in batches
    ]
    return converted.to(memory_format=layout), laid_out


def _array(tensor: torch.Tensor, case: RunCase) -> np.ndarray[Any, Any]:
    """A tensor as an array that numpy has a type for."""
    wide = tensor.detach().double() if case.precision is Precision.FP64 else tensor.detach().float()
    return wide.contiguous().numpy()
