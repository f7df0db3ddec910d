"""Stock PyTorch without a compiler: autocast through oneDNN, and its own static quantization.

Sources: PyTorch's documentation of CPU autocast, and of FX graph mode and eager mode static
quantization with the ``onednn`` backend.
"""

from __future__ import annotations

__all__ = ["Eager"]

import importlib.metadata
import warnings
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from amx_suite.core.case import Mode, Precision
from amx_suite.engines.base import Forward, PreparedTraining, require_calibration
from amx_suite.engines.stock import StockTorch, upstream_limits
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


class Eager(StockTorch):
    """Module calls as they are. torch is imported in methods only."""

    name = "eager"

    def why_not(self, mode: Mode, precision: Precision) -> str | None:
        """As for stock PyTorch; and INT8 only where it is worth timing."""
        reason = super().why_not(mode, precision)
        return reason or (_why_no_int8() if precision is Precision.INT8 else None)

    def prepare_inference(
        self,
        module: torch.nn.Module,
        example_inputs: tuple[torch.Tensor, ...],
        precision: Precision,
        calibration: Sequence[tuple[torch.Tensor, ...]],
    ) -> Forward:
        """The module itself, under autocast for BF16, quantized for INT8.

        Raises EngineUnavailableError, or NotApplicableError for FP64, for INT8 without calibration
        inputs, and for what this version of PyTorch cannot quantize.
        """
        import torch

        self.require(Mode.INFERENCE, precision)
        if precision is Precision.INT8:
            require_calibration(calibration)
            with torch.no_grad(), upstream_limits("quantize this model eagerly"):
                return _quantized(module, example_inputs, calibration)
        if precision is Precision.FP32:
            return module

        def forward(*inputs: torch.Tensor) -> Any:
            with torch.autocast("cpu", torch.bfloat16):
                return module(*inputs)

        return forward

    def prepare_training(
        self, module: torch.nn.Module, optimizer: torch.optim.Optimizer, precision: Precision
    ) -> PreparedTraining:
        """Module and optimizer as they are; BF16 trains under autocast.

        Raises EngineUnavailableError, or NotApplicableError for FP64 and INT8.
        """
        import torch

        self.require(Mode.TRAINING, precision)
        bf16 = precision is Precision.BF16
        autocast = partial(torch.autocast, "cpu", torch.bfloat16, enabled=bf16)
        return PreparedTraining(module, optimizer, autocast)


def _why_no_int8() -> str | None:
    """Why this version of PyTorch has no INT8 worth timing; None where it has, or is absent."""
    try:
        found = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        return None
    if tuple(map(int, found.split(".")[:2])) <= _LAST_WITH_INT8:
        return None
    return (
        f"torch {found} runs eager quantized linear layers on oneDNN's reference kernel "
        f"(ref_int8:any), unlike {'.'.join(map(str, _LAST_WITH_INT8))}: use engine inductor"
    )


def _quantized(
    module: torch.nn.Module,
    example_inputs: tuple[torch.Tensor, ...],
    calibration: Sequence[tuple[torch.Tensor, ...]],
) -> torch.nn.Module:
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
        # That torchao is to replace this one day; the line would end each arm's stderr.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            mapping = tools.get_default_qconfig_mapping(_BACKEND)
            observed, convert = graph.prepare_fx(module, mapping, example_inputs), graph.convert_fx
        except _UNTRACEABLE:
            observed, convert = _observed_layers(module, tools), tools.convert
        for inputs in calibration:
            observed(*inputs)
        converted: torch.nn.Module = convert(observed)
    # Quantized layers and operators say so in their names, be they modules or a graph's code.
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
