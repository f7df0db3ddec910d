"""The reference of accuracy: plain eager PyTorch in double precision."""

from __future__ import annotations

__all__ = ["Fp64Reference"]

from collections.abc import Sequence
from typing import TYPE_CHECKING

from amx_suite.core.case import Mode
from amx_suite.core.precision import Precision
from amx_suite.engines.base import Engine, Forward

if TYPE_CHECKING:
    import torch


class Fp64Reference(Engine):
    """FP64 and nothing else: no tiles, no packed weights, no fused layers.

    No library has an AMX, VNNI or BF16 form of double precision. So the ceiling it runs under can
    change a result by rounding at 2^-53 only.
    """

    name = "fp64"

    def why_not(self, mode: Mode, precision: Precision) -> str | None:
        """A reason for every precision but FP64."""
        if precision is Precision.FP64:
            return None
        return f"the reference computes {Precision.FP64.upper()} only, not {precision.upper()}"

    def prepare_inference(
        self,
        module: torch.nn.Module,
        example_inputs: tuple[torch.Tensor, ...],
        precision: Precision,
        calibration: Sequence[tuple[torch.Tensor, ...]],
    ) -> Forward:
        """The module itself: its parameters are FP64 already."""
        return module
