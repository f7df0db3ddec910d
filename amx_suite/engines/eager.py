"""Stock PyTorch without a compiler: autocast through oneDNN, and its own static quantization.

Sources: PyTorch's documentation of CPU autocast, and of FX graph mode and eager mode static
quantization with the ``onednn`` backend.
"""

from __future__ import annotations

__all__ = ["Eager", "Fp64Reference"]

import warnings
from typing import TYPE_CHECKING, Any

from amx_suite.core.case import Mode
from amx_suite.core.packages import installed
from amx_suite.core.precision import Precision
from amx_suite.engines.base import (
    Batches,
    Engine,
    Forward,
    Tensors,
    autocast,
    torch_series,
    upstream_limits,
)
from amx_suite.errors import NotApplicableError

if TYPE_CHECKING:
    import torch

#: Quantized operators run in oneDNN, which obeys a ceiling; fbgemm does not and has no AMX.
_BACKEND = "onednn"
#: The last series whose quantized linear layers are known to be fast. In 2.15.0 (oneDNN 3.13.3)
#: their weights lose the compensation for the input's zero point, and only oneDNN's reference takes
#: them: 24 s a step of the gemm workload at b4x64, against 7 ms in 2.8.0 (oneDNN 3.7.1), same CPU.
_LAST_WITH_INT8 = (2, 8)
#: How torch.fx says that a module's Python code depends on its inputs (TraceError is a ValueError).
_UNTRACEABLE = (AttributeError, RuntimeError, TypeError, ValueError)


class Eager(Engine):
    """Module calls as they are. torch is imported in methods only."""

    name = "eager"

    def why_not(self, mode: Mode, precision: Precision) -> str | None:
        """As for every engine, and static quantization where it is too slow to time."""
        if (reason := super().why_not(mode, precision)) is not None:
            return reason
        if precision.spec.is_quantized and torch_series() > _LAST_WITH_INT8:
            fast = ".".join(map(str, _LAST_WITH_INT8))
            return (
                f"torch {installed('torch')} runs eager quantized linear layers on oneDNN's "
                f"reference kernel (ref_int8:any), unlike {fast}: use engine inductor"
            )
        return None

    def prepare_inference(
        self, module: torch.nn.Module, inputs: Tensors, precision: Precision, calibration: Batches
    ) -> Forward:
        """The module itself, under autocast where the precision has it, or quantized."""
        import torch

        if precision.spec.is_quantized:
            with torch.no_grad(), upstream_limits("quantize this model eagerly"):
                return _quantized(module, inputs, calibration)
        if not precision.spec.autocast:
            return module

        def forward(*inputs: torch.Tensor) -> Any:
            with autocast(precision):
                return module(*inputs)

        return forward


class Fp64Reference(Eager):
    """The reference of accuracy: FP64 and nothing else, no tiles, packed weights or fused layers.

    No library has an AMX, VNNI or BF16 form of double precision. So the ceiling it runs under can
    change a result by rounding at 2^-53 only.
    """

    name = "fp64"

    def why_not(self, mode: Mode, precision: Precision) -> str | None:
        """A reason for every precision but FP64."""
        if precision is Precision.FP64:
            return None
        return f"the reference computes {Precision.FP64.upper()} only, not {precision.upper()}"


def _quantized(module: torch.nn.Module, inputs: Tensors, calibration: Batches) -> torch.nn.Module:
    """Static INT8: graph mode where torch.fx traces the module, else each layer by itself."""
    import torch
    from torch.ao import quantization
    from torch.ao.quantization import quantize_fx

    # torch's stubs know the engine as a property of the class and refuse to set it.
    backends: Any = torch.backends.quantized
    backends.engine = _BACKEND
    tools: Any = quantization
    graph: Any = quantize_fx
    with warnings.catch_warnings():
        # It announces torchao as the successor, once an arm, at the end of the child's stderr.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            mapping = tools.get_default_qconfig_mapping(_BACKEND)
            observed, convert = graph.prepare_fx(module, mapping, inputs), graph.convert_fx
        except _UNTRACEABLE:
            observed, convert = _observed_layers(module, tools), tools.convert
        for batch in calibration:
            observed(*batch)
        converted: torch.nn.Module = convert(observed)
    # Quantized layers and operators have it in their names, in modules and in a graph's code.
    if "quantized" not in str(converted).lower():
        raise NotApplicableError(
            "PyTorch's eager quantization knows layers with weights only, and this model has none"
        )
    return converted


def _observed_layers(module: torch.nn.Module, tools: Any) -> Any:
    """Observers around every linear layer and convolution; all else stays FP32."""
    import torch

    for part in module.modules():
        if isinstance(part, torch.nn.Linear | torch.nn.Conv2d):
            part.qconfig = tools.get_default_qconfig(_BACKEND)
    return tools.prepare(tools.add_quant_dequant(module))
