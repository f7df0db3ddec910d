"""One square matrix product of any size: how near a bare product comes to the machine's peak."""

from __future__ import annotations

__all__ = ["Square"]

from typing import TYPE_CHECKING

from amx_suite.core.case import Mode, Shape
from amx_suite.workloads.gemm import Gemm

if TYPE_CHECKING:
    import torch


class Square(Gemm):
    """Linear(size, size) on ``batch * size`` rows; inference only.

    It is in no level's trials: the ceiling tests prepare it themselves.
    """

    name = "square"
    shapes: dict[tuple[Mode, int], Shape] = {}

    def _layers(self, shape: Shape) -> torch.nn.Module:
        import torch

        return torch.nn.Linear(shape.size, shape.size, bias=False)

    def _width(self, shape: Shape) -> int:
        return shape.size
