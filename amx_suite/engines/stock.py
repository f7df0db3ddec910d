"""What the engines of stock PyTorch have in common: how they are told, asked and read."""

from __future__ import annotations

__all__ = ["StockTorch", "upstream_limits"]

import importlib.metadata
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from amx_suite.core.case import Mode, Precision
from amx_suite.core.isa import Isa
from amx_suite.engines.base import Ceiling, Engine, PreparedTraining, plain_gradients, require
from amx_suite.errors import NotApplicableError

if TYPE_CHECKING:
    import torch

_VARIABLE = "ATEN_CPU_CAPABILITY"
_LONGEST_REASON = 300


class StockTorch:
    """The parts of an engine that do not depend on how a model is prepared."""

    distributions: tuple[str, ...] = ("torch",)
    compiles = False

    def why_unavailable(self) -> str | None:
        """Whether PyTorch is installed; does not import it."""
        try:
            importlib.metadata.version("torch")
        except importlib.metadata.PackageNotFoundError:
            return "PyTorch is not installed: install it with: pip install torch torchvision"
        return None

    def why_not(self, mode: Mode, precision: Precision) -> str | None:
        """INT8 is for inference; FP64 is the arbiter's."""
        if precision is Precision.FP64:
            return "FP64 is the arbiter's precision and no engine's arm"
        if mode is Mode.TRAINING and precision is Precision.INT8:
            return "PyTorch's static quantization is for inference: there is no INT8 training"
        return None

    def variables(self, isa: Isa) -> dict[str, str]:
        """The nearest level that PyTorch knows; it ignores any other name with a warning.

        Its own kernels know AVX2 and AVX512 (aten/src/ATen/native/DispatchStub.cpp), which is below
        every other ceiling's products: those are oneDNN's and MKL's.
        """
        return {_VARIABLE: isa.spec.vectors}

    def gradients(self, prepared: PreparedTraining) -> dict[str, torch.Tensor]:
        """The gradients as they are: no parameter is packed in training."""
        return plain_gradients(prepared.module)

    def read_back(self) -> dict[str, str]:
        """What PyTorch's own kernels dispatch on."""
        import torch

        return {"torch": torch.backends.cpu.get_cpu_capability()}

    def ceilings(self, isa: Isa) -> dict[str, Ceiling]:
        """PyTorch's own kernels report AVX512 wherever vectors may be so wide."""
        return {"torch": Ceiling(isa.spec.vectors.upper(), _VARIABLE)}

    def require(self: Engine, mode: Mode, precision: Precision) -> None:
        """Raise EngineUnavailableError or NotApplicableError if it cannot serve; make FP32 FP32."""
        require(self, mode, precision)
        import torch

        # Anything lower lets FP32 products run as BF16, and the baseline arm would use AMX.
        torch.set_float32_matmul_precision("highest")


@contextmanager
def upstream_limits(what: str, *limits: type[Exception]) -> Iterator[Any]:
    """What this version of PyTorch says it cannot do becomes a NotApplicableError of one line.

    ``limits`` are the errors that say so, beside a missing module or implementation. Any other
    error is a defect of that version and passes through: it must not look like a limit.
    """
    said: tuple[type[Exception], ...] = (ImportError, NotImplementedError, *limits)
    try:
        yield
    except said as error:
        import torch

        lines = (line.strip() for line in str(error).splitlines())
        told = next((line for line in lines if line), type(error).__name__)
        raise NotApplicableError(
            f"torch {torch.__version__} cannot {what}: {told[:_LONGEST_REASON]}"
        ) from error
