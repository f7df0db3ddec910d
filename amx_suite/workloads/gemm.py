"""The feed-forward pair of BERT-base: the matrix products that AMX is for, and little else."""

from __future__ import annotations

__all__ = ["Gemm"]

from typing import TYPE_CHECKING

from amx_suite.core.case import Mode, Precision, RunCase, Shape
from amx_suite.errors import NotApplicableError, UsageError
from amx_suite.workloads.base import Batch, Inputs

if TYPE_CHECKING:
    import torch

#: Widths of BERT-base's feed-forward layers (Devlin et al. 2018, table in section 3).
_HIDDEN = 768
_INTERMEDIATE = 3072


class Gemm:
    """Linear(768, 3072), ReLU, Linear(3072, 768) on ``batch * size`` rows; inference only."""

    name = "gemm"
    unit = "rows"
    channels_last = False
    distributions: tuple[str, ...] = ("torch",)
    shapes: dict[tuple[Mode, int], Shape] = {(Mode.INFERENCE, 2): Shape(16, 128)}

    def items_per_step(self, shape: Shape) -> int:
        """Rows of the left matrix."""
        return shape.batch * shape.size

    def build(
        self, case: RunCase, inputs: Inputs, *, deterministic: bool = False
    ) -> torch.nn.Module:
        """The layers with PyTorch's seeded initial weights; UsageError for any other weights."""
        import torch

        self._inference_only(case)
        if case.weights != "random":
            raise UsageError(
                f"the {self.name} workload has random weights only, not '{case.weights}'"
            )
        torch.manual_seed(case.seed)
        layers = self._layers(case.shape)
        return layers.to(
            torch.float64 if case.precision is Precision.FP64 else torch.float32
        ).eval()

    def batches(self, case: RunCase, inputs: Inputs, count: int) -> tuple[list[Batch], str]:
        """Normally distributed rows [rows, width of the first layer]; the targets are empty."""
        import numpy as np
        import torch

        self._inference_only(case)
        dtype = torch.float64 if case.precision is Precision.FP64 else torch.float32
        random = np.random.default_rng(case.seed)
        rows = self.items_per_step(case.shape)
        made = []
        for _ in range(count):
            values = random.standard_normal((rows, self._width(case.shape)), dtype=np.float32)
            made.append(Batch((torch.from_numpy(values).to(dtype),), torch.empty(0)))
        return made, f"synthetic rows, seed {case.seed}"

    def loss(self, output: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Raises NotApplicableError."""
        raise self._no_training()

    def logits(self, output: torch.Tensor) -> torch.Tensor:
        """The output itself, shape [rows, width of the last layer]."""
        return output

    def optimizer(self, module: torch.nn.Module) -> torch.optim.Optimizer:
        """Raises NotApplicableError."""
        raise self._no_training()

    def _layers(self, shape: Shape) -> torch.nn.Module:
        import torch

        return torch.nn.Sequential(
            torch.nn.Linear(_HIDDEN, _INTERMEDIATE),
            torch.nn.ReLU(),
            torch.nn.Linear(_INTERMEDIATE, _HIDDEN),
        )

    def _width(self, shape: Shape) -> int:
        return _HIDDEN

    def _inference_only(self, case: RunCase) -> None:
        if case.workload.mode is not Mode.INFERENCE:
            raise self._no_training()

    def _no_training(self) -> NotApplicableError:
        return NotApplicableError(f"the {self.name} workload is for inference only")
