"""Intel Extension for PyTorch: the published recipe for AMX.

Source: the extension's own examples (``examples/cpu`` of release 2.8) for ``ipex.optimize`` with
tracing and freezing, autocast training, and static INT8 quantization. The extension is no longer
developed; 2.8.0, for PyTorch 2.8, is its last release.
"""

from __future__ import annotations

__all__ = ["Ipex"]

import importlib
from typing import TYPE_CHECKING, Any

from amx_suite.core.case import Mode
from amx_suite.core.isa import Isa
from amx_suite.core.packages import installed
from amx_suite.core.precision import Precision
from amx_suite.engines.base import (
    Batches,
    Engine,
    Forward,
    Tensors,
    autocast,
    torch_series,
)
from amx_suite.errors import EngineUnavailableError

if TYPE_CHECKING:
    import torch

_DISTRIBUTION = "intel-extension-for-pytorch"
#: The extension links against one minor release of PyTorch and does not load with any other.
_TORCH_SERIES = (2, 8)
_REMEDY = "install it with: pip install 'amx-suite[ipex]'"
#: The types of its autocast in its recipe; none is for FP32 and INT8.
_AUTOCAST = ("", "bfloat16")
#: oneDNN Graph profiles an INT8 graph in its first run and fuses it in the second.
_FUSING_RUNS = 2
#: Placeholders that weight packing leaves among the parameters; they belong to no model.
_PLACEHOLDERS = ("_ipex_module_empty_weight_tensor", "_ipex_module_empty_bias_tensor")


class Ipex(Engine):
    """The extension's eager training and traced inference. torch is imported in methods only."""

    name = "ipex"
    distributions = ("torch", _DISTRIBUTION)
    #: The extension passes the level on to its oneDNN (csrc/cpu/dyndisp/DispatchStub.cpp). PyTorch
    #: itself reports none above AVX512.
    levelled = ("ipex", "ipex-onednn")

    def why_unavailable(self) -> str | None:
        """Whether the extension and the PyTorch it was built for are installed; imports neither."""
        if installed(_DISTRIBUTION) is None:
            return f"Intel Extension for PyTorch is not installed: {_REMEDY}"
        if (found := installed("torch")) is None:
            return f"PyTorch is not installed: {_REMEDY}"
        if torch_series() != _TORCH_SERIES:
            series = ".".join(map(str, _TORCH_SERIES))
            return (
                f"Intel Extension for PyTorch needs torch {series}.x and found torch {found}"
                f": {_REMEDY}, or choose another engine"
            )
        return None

    def why_not(self, mode: Mode, precision: Precision) -> str | None:
        """As for every engine, and formats that its published recipe does not cover."""
        if (reason := super().why_not(mode, precision)) is not None:
            return reason
        if precision.spec.autocast not in _AUTOCAST:
            return (
                f"the extension's recipe for AMX has no {precision.upper()}, and no later release "
                "will: use engine inductor or eager"
            )
        return None

    def level(self, isa: Isa) -> str:
        """The level in the extension's own words, which know more levels than PyTorch's."""
        return isa.spec.aten

    def read_back(self) -> dict[str, str]:
        """The instruction sets that the extension, its oneDNN and PyTorch report."""
        native: Any = importlib.import_module("intel_extension_for_pytorch._C")
        return {
            **super().read_back(),
            "ipex": str(native._get_current_isa_level()),
            "ipex-onednn": str(native._get_current_onednn_isa_level()),
        }

    def prepare_inference(
        self, module: torch.nn.Module, inputs: Tensors, precision: Precision, calibration: Batches
    ) -> Forward:
        """Optimize or quantize, trace and freeze."""
        import torch

        ipex = _extension()
        with torch.no_grad(), autocast(precision):
            if precision.spec.is_quantized:
                ready = _quantized(ipex, module, inputs, calibration)
            else:
                ready = ipex.optimize(module, dtype=_dtype(precision), inplace=True)
            # The model's shapes and weights are fixed, so tracing cannot miss a branch; checking
            # the trace would run the whole model three times more.
            trace: Any = torch.jit.trace
            frozen: Forward = torch.jit.freeze(trace(ready, inputs, check_trace=False))
            for _ in range(_FUSING_RUNS):
                frozen(*inputs)
        return frozen

    def prepare_training(
        self, module: torch.nn.Module, optimizer: torch.optim.Optimizer, precision: Precision
    ) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        """Optimize module and optimizer together."""
        prepared: tuple[torch.nn.Module, torch.optim.Optimizer] = _extension().optimize(
            module, optimizer=optimizer, dtype=_dtype(precision), inplace=True
        )
        return prepared

    def gradients(
        self, module: torch.nn.Module, optimizer: torch.optim.Optimizer
    ) -> dict[str, torch.Tensor]:
        """Gradients by name; those of packed weights are unpacked by their own packing context."""
        # The extension keeps what it did to each parameter as an attribute of the optimizer.
        records: dict[Any, Any] = getattr(optimizer, "params_attr", {})
        contexts = {id(record.parameter): record.op_ctx for record in records.values()}
        parameters = dict(module.named_parameters())
        found = {}
        for name, gradient in super().gradients(module, optimizer).items():
            if not name.endswith(_PLACEHOLDERS):
                context = contexts.get(id(parameters[name]))
                found[name] = gradient if context is None else context.to_public(gradient)
        return found


def _extension() -> Any:
    try:
        return importlib.import_module("intel_extension_for_pytorch")
    except (ImportError, OSError) as error:
        raise EngineUnavailableError(
            f"Intel Extension for PyTorch is installed and does not load ({error}): {_REMEDY}"
        ) from error


def _dtype(precision: Precision) -> torch.dtype:
    """The type that the extension converts weights to."""
    import torch

    dtype: torch.dtype = getattr(torch, precision.spec.autocast or "float32")
    return dtype


def _quantized(
    ipex: Any, module: torch.nn.Module, inputs: Tensors, calibration: Batches
) -> torch.nn.Module:
    """Static INT8: observe the calibration inputs, then convert."""
    recipe = ipex.quantization.default_static_qconfig_mapping
    observed = ipex.quantization.prepare(module, recipe, example_inputs=inputs, inplace=True)
    for batch in calibration:
        observed(*batch)
    converted: torch.nn.Module = ipex.quantization.convert(observed)
    return converted
