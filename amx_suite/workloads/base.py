"""What a workload is: a model with its inputs, its loss and its optimizer.

torch is imported inside functions only: the parent, which has no torch, reads the shapes and units.
"""

from __future__ import annotations

__all__ = ["Batch", "Inputs", "ModelWorkload", "floating"]

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from amx_suite.core.case import Mode, RunCase, Shape
from amx_suite.core.precision import Precision
from amx_suite.errors import NotApplicableError, UsageError

if TYPE_CHECKING:
    import torch


class Inputs(msgspec.Struct, frozen=True):
    """The user's own data, and whether anything may be downloaded.

    ``data`` is the folder that holds (or shall hold) CIFAR-10; None means synthetic images.
    ``download`` also lets a model's weights be fetched by name.
    """

    data: str | None = None
    download: bool = False


class Batch(NamedTuple):
    """Positional model inputs and the targets (class indices, shape [batch])."""

    inputs: tuple[torch.Tensor, ...]
    targets: torch.Tensor


class ModelWorkload(ABC):
    """One model; one row each in ``workloads.WORKLOADS``. Instances have no state.

    ``distributions`` are the installed packages that define the model, as named in the index.
    ``shapes`` holds the shape of each mode at each level at which the model runs.
    """

    name: str
    unit: str
    distributions: tuple[str, ...] = ("torch",)
    shapes: dict[tuple[Mode, int], Shape]

    def items_per_step(self, shape: Shape) -> int:
        """How many ``unit`` one step of this shape processes."""
        return shape.batch * shape.size

    def check_weights(self, weights: str) -> None:
        """Raise UsageError if what the user named is missing or plainly something else.

        Without torch: it is called before anything is measured.
        """
        raise UsageError(f"the {self.name} workload has random weights only, not '{weights}'")

    @abstractmethod
    def build(
        self, case: RunCase, inputs: Inputs, *, deterministic: bool = False
    ) -> torch.nn.Module:
        """The model, seeded by ``case.seed`` or with the weights that ``case.weights`` names.

        ``deterministic`` switches dropout off, so that arms can be compared step by step.
        Parameters are of the type ``floating`` gives, the module is in the case's mode (``eval`` or
        ``train``), and its output is one tensor.

        Raises UsageError for weights that cannot be used.
        """

    @abstractmethod
    def batches(self, case: RunCase, inputs: Inputs, count: int) -> tuple[list[Batch], str]:
        """``count`` batches of ``case.shape``, seeded, and a sentence saying what the data is.

        The first batches do not depend on ``count``. Raises UsageError for data that cannot be
        used.
        """

    def loss(self, output: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Cross entropy, a scalar, in FP32 or wider."""
        import torch

        wide = output.to(torch.promote_types(output.dtype, torch.float32))
        return torch.nn.functional.cross_entropy(wide, targets)

    def optimizer(self, module: torch.nn.Module) -> torch.optim.Optimizer:
        """The optimizer of the published recipe; NotApplicableError if there is no training."""
        raise NotApplicableError(f"the {self.name} workload is for inference only")


def floating(precision: Precision) -> torch.dtype:
    """The type a model is built in: FP64 for the reference, else FP32, which engines lower."""
    import torch

    return torch.float64 if precision is Precision.FP64 else torch.float32
