"""The arbiter of accuracy: plain eager PyTorch in double precision."""

from __future__ import annotations

__all__ = ["Arbiter"]

from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

from amx_suite.core.case import Mode, Precision
from amx_suite.core.isa import Isa
from amx_suite.engines.base import Ceiling, Forward, PreparedTraining, plain_gradients

if TYPE_CHECKING:
    import torch


class Arbiter:
    """FP64 and nothing else. Its tile-free, unpacked, unfused results are what is right.

    Double precision has no AMX, VNNI or BF16 form in any library, so the arbiter's answer does not
    depend on the ceiling under which it was computed beyond rounding at 2^-53.
    """

    name = "arbiter"
    distributions: tuple[str, ...] = ("torch",)
    compiles = False

    def why_unavailable(self) -> str | None:
        """Never: PyTorch itself is all it needs."""
        return None

    def why_not(self, mode: Mode, precision: Precision) -> str | None:
        """A reason for every precision but FP64."""
        if precision is Precision.FP64:
            return None
        return f"the arbiter computes {Precision.FP64} only, not {precision}"

    def variables(self, isa: Isa) -> dict[str, str]:
        """None: it computes in the child of whichever engine is judged."""
        return {}

    def prepare_inference(
        self,
        module: torch.nn.Module,
        example_inputs: tuple[torch.Tensor, ...],
        precision: Precision,
        calibration: Sequence[tuple[torch.Tensor, ...]],
    ) -> Forward:
        """The module itself: its parameters are FP64 already."""
        return module

    def prepare_training(
        self, module: torch.nn.Module, optimizer: torch.optim.Optimizer, precision: Precision
    ) -> PreparedTraining:
        """The module and optimizer themselves, without autocast."""
        return PreparedTraining(module, optimizer, nullcontext)

    def gradients(self, prepared: PreparedTraining) -> dict[str, torch.Tensor]:
        """The gradients as they are."""
        return plain_gradients(prepared.module)

    def read_back(self) -> dict[str, str]:
        """What PyTorch's own kernels dispatch on."""
        import torch

        return {"torch": torch.backends.cpu.get_cpu_capability()}

    def ceilings(self, isa: Isa) -> dict[str, Ceiling]:
        """None: its results depend on no ceiling."""
        return {}
