"""What a workload is: a model with its inputs, its loss and its optimizer.

torch is imported inside the methods only; the data at the top of each workload (shapes, units) is
read by the parent, which has no torch.
"""

from __future__ import annotations

__all__ = ["Batch", "Inputs", "ModelWorkload", "ask_workload"]

from typing import TYPE_CHECKING, NamedTuple, Protocol

import msgspec

from amx_suite.core.case import Mode, RunCase, Shape

if TYPE_CHECKING:
    import torch


class Inputs(msgspec.Struct, frozen=True):
    """Where a workload may find the user's own data and whether it may download any.

    ``data`` is the folder that holds (or shall hold) CIFAR-10; None means synthetic images.
    ``download`` also lets a model's weights be fetched by name.
    """

    data: str | None = None
    download: bool = False


class Batch(NamedTuple):
    """Positional model inputs and the targets (class indices, shape [batch])."""

    inputs: tuple[torch.Tensor, ...]
    targets: torch.Tensor


class ModelWorkload(Protocol):
    """One model. Instances are stateless; one row each in ``workloads.WORKLOADS``."""

    name: str
    unit: str
    channels_last: bool
    #: The installed packages that define this model, as named in the index.
    distributions: tuple[str, ...]
    #: The shape of each mode at each level at which it runs: ``{(mode, level): shape}``.
    shapes: dict[tuple[Mode, int], Shape]

    def items_per_step(self, shape: Shape) -> int:
        """How many ``unit`` one step of this shape processes."""

    def build(
        self, case: RunCase, inputs: Inputs, *, deterministic: bool = False
    ) -> torch.nn.Module:
        """The model, seeded by ``case.seed`` or with the weights that ``case.weights`` names.

        ``deterministic`` switches dropout off, so that arms can be compared step by step.
        Floating point parameters are FP64 for ``Precision.FP64``, else FP32. In the mode
        (``eval`` or ``train``) of the case. Its output is one tensor.

        Raises UsageError for weights that cannot be used.
        """

    def batches(self, case: RunCase, inputs: Inputs, count: int) -> tuple[list[Batch], str]:
        """``count`` batches of ``case.shape``, seeded, and a sentence saying what the data is.

        The first batches do not depend on ``count``. Raises UsageError for data that cannot be
        used.
        """

    def loss(self, output: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """The scalar training loss of the module's output, in FP32 or wider."""

    def logits(self, output: torch.Tensor) -> torch.Tensor:
        """The tensor that accuracy is judged on, shape [batch, ...], from the module's output."""

    def optimizer(self, module: torch.nn.Module) -> torch.optim.Optimizer:
        """The optimizer of the published recipe for this model."""


def ask_workload(workload: ModelWorkload) -> None:
    """Read all that the parent will read of a workload, so that one that raises does so here."""
    for shape in workload.shapes.values():
        workload.items_per_step(shape)
