"""Bare matrix products: what AMX is for, and little else."""

from __future__ import annotations

__all__ = ["Gemm", "Square"]

import itertools
from typing import TYPE_CHECKING

from amx_suite.core.case import Mode, RunCase, Shape
from amx_suite.workloads.base import Batch, Inputs, ModelWorkload, floating

if TYPE_CHECKING:
    import torch

#: Widths of BERT-base's feed-forward layers (Devlin et al. 2018, table in section 3).
_HIDDEN = 768
_INTERMEDIATE = 3072


class Gemm(ModelWorkload):
    """The feed-forward pair of BERT-base: Linear(768, 3072), ReLU, Linear(3072, 768).

    On ``batch * size`` rows; inference only.
    """

    name = "gemm"
    unit = "rows"
    shapes = {(Mode.INFERENCE, 2): Shape(16, 128)}
    has_bias = True

    def build(
        self, case: RunCase, inputs: Inputs, *, deterministic: bool = False
    ) -> torch.nn.Module:
        """The layers with PyTorch's seeded initial weights; UsageError for any other weights."""
        import torch

        if case.weights != "random":
            self.check_weights(case.weights)
        torch.manual_seed(case.seed)
        layers: list[torch.nn.Module] = []
        for inputs_wide, outputs_wide in itertools.pairwise(self._widths(case.shape)):
            layers += [torch.nn.Linear(inputs_wide, outputs_wide, self.has_bias), torch.nn.ReLU()]
        return torch.nn.Sequential(*layers[:-1]).to(floating(case.precision)).eval()

    def batches(self, case: RunCase, inputs: Inputs, count: int) -> tuple[list[Batch], str]:
        """Normally distributed rows [rows, width of the first layer]; the targets are empty."""
        import numpy as np
        import torch

        random = np.random.default_rng(case.seed)
        size = self.items_per_step(case.shape), self._widths(case.shape)[0]
        made = []
        for _ in range(count):
            rows = torch.from_numpy(random.standard_normal(size, dtype=np.float32))
            made.append(Batch((rows.to(floating(case.precision)),), torch.empty(0)))
        return made, f"synthetic rows, seed {case.seed}"

    def _widths(self, shape: Shape) -> tuple[int, ...]:
        """Of the rows before the first layer and behind each layer."""
        return _HIDDEN, _INTERMEDIATE, _HIDDEN


class Square(Gemm):
    """One square product, Linear(size, size), which comes nearest to the machine's peak.

    It is in no level's trials: the ceiling tests prepare it themselves.
    """

    name = "square"
    shapes: dict[tuple[Mode, int], Shape] = {}
    has_bias = False

    def _widths(self, shape: Shape) -> tuple[int, ...]:
        return shape.size, shape.size
