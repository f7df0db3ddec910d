"""Intel Extension for PyTorch: the published recipe for AMX.

Source: the extension's own examples (``examples/cpu`` of release 2.8) for ``ipex.optimize`` with
tracing and freezing, autocast training, and static INT8 quantization. The extension is no longer
developed; 2.8.0, for PyTorch 2.8, is its last release.
"""

from __future__ import annotations

__all__ = ["Ipex"]

import importlib
import importlib.metadata
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from amx_suite.core.case import Mode, Precision
from amx_suite.core.isa import Isa
from amx_suite.engines.base import (
    Ceiling,
    Forward,
    PreparedTraining,
    require,
    require_calibration,
)
from amx_suite.errors import EngineUnavailableError

if TYPE_CHECKING:
    import torch

_DISTRIBUTION = "intel-extension-for-pytorch"
#: The extension links against one minor release of PyTorch and does not load with any other.
_TORCH_SERIES = "2.8"
_REMEDY = "install it with: pip install 'amx-suite[ipex]'"
#: How the extension is told of a ceiling (csrc/cpu/dyndisp/DispatchStub.cpp).
_VARIABLE = "ATEN_CPU_CAPABILITY"
#: oneDNN Graph profiles an INT8 graph in its first run and fuses it in the second.
_FUSING_RUNS = 2
#: Placeholders that weight packing leaves among the parameters; they belong to no model.
_PLACEHOLDERS = ("_ipex_module_empty_weight_tensor", "_ipex_module_empty_bias_tensor")


class Ipex:
    """The extension's eager training and traced inference. torch is imported in methods only."""

    name = "ipex"
    distributions: tuple[str, ...] = ("torch", _DISTRIBUTION)
    compiles = False

    def why_unavailable(self) -> str | None:
        """Whether the extension and the PyTorch it was built for are installed; imports neither."""
        try:
            importlib.metadata.version(_DISTRIBUTION)
        except importlib.metadata.PackageNotFoundError:
            return f"Intel Extension for PyTorch is not installed: {_REMEDY}"
        try:
            found = importlib.metadata.version("torch")
        except importlib.metadata.PackageNotFoundError:
            return f"PyTorch is not installed: {_REMEDY}"
        if found.split(".")[:2] != _TORCH_SERIES.split("."):
            return (
                f"Intel Extension for PyTorch needs torch {_TORCH_SERIES}.x and found torch {found}"
                f": {_REMEDY}, or choose another engine"
            )
        return None

    def why_not(self, mode: Mode, precision: Precision) -> str | None:
        """INT8 is for inference; FP64 is the arbiter's."""
        if precision is Precision.FP64:
            return "FP64 is the arbiter's precision and no engine's arm"
        if mode is Mode.TRAINING and precision is Precision.INT8:
            return "the extension quantizes for inference only: there is no INT8 training"
        return None

    def variables(self, isa: Isa) -> dict[str, str]:
        """The level in the extension's own words, which go further than PyTorch's."""
        return {_VARIABLE: isa.spec.aten}

    def prepare_inference(
        self,
        module: torch.nn.Module,
        example_inputs: tuple[torch.Tensor, ...],
        precision: Precision,
        calibration: Sequence[tuple[torch.Tensor, ...]],
    ) -> Forward:
        """Optimize (or quantize), trace and freeze.

        Raises EngineUnavailableError, or NotApplicableError for FP64 and for INT8 without
        calibration inputs.
        """
        import torch

        ipex = self._extension(Mode.INFERENCE, precision)
        bf16 = precision is Precision.BF16
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            if precision is Precision.INT8:
                ready = _quantized(ipex, module, example_inputs, calibration)
            else:
                dtype = torch.bfloat16 if bf16 else torch.float32
                ready = ipex.optimize(module, dtype=dtype, inplace=True)
            # The model's shapes and weights are fixed, so tracing cannot miss a branch; checking
            # the trace would run the whole model three times more.
            trace: Any = torch.jit.trace
            frozen: Forward = torch.jit.freeze(trace(ready, example_inputs, check_trace=False))
            for _ in range(_FUSING_RUNS):
                frozen(*example_inputs)
        return frozen

    def prepare_training(
        self, module: torch.nn.Module, optimizer: torch.optim.Optimizer, precision: Precision
    ) -> PreparedTraining:
        """Optimize module and optimizer together; BF16 trains under autocast.

        Raises EngineUnavailableError, or NotApplicableError for FP64 and INT8.
        """
        import torch

        ipex = self._extension(Mode.TRAINING, precision)
        bf16 = precision is Precision.BF16
        dtype = torch.bfloat16 if bf16 else torch.float32
        ready, fitted = ipex.optimize(module, optimizer=optimizer, dtype=dtype, inplace=True)
        autocast = partial(torch.autocast, "cpu", torch.bfloat16, enabled=bf16)
        return PreparedTraining(ready, fitted, autocast)

    def gradients(self, prepared: PreparedTraining) -> dict[str, torch.Tensor]:
        """Gradients by name; those of packed weights are unpacked by their own packing context."""
        # The extension hangs its records of what it did to each parameter on the optimizer.
        records: dict[Any, Any] = getattr(prepared.optimizer, "params_attr", {})
        contexts = {id(record.parameter): record.op_ctx for record in records.values()}
        found: dict[str, torch.Tensor] = {}
        for name, parameter in prepared.module.named_parameters():
            if parameter.grad is None or name.endswith(_PLACEHOLDERS):
                continue
            context = contexts.get(id(parameter))
            grad = parameter.grad
            found[name] = grad if context is None else context.to_public(grad)
        return found

    def read_back(self) -> dict[str, str]:
        """The instruction sets that the extension, its oneDNN and PyTorch say they use."""
        import torch

        native: Any = importlib.import_module("intel_extension_for_pytorch._C")
        return {
            "ipex": str(native._get_current_isa_level()),
            "ipex-onednn": str(native._get_current_onednn_isa_level()),
            "torch": torch.backends.cpu.get_cpu_capability(),
        }

    def ceilings(self, isa: Isa) -> dict[str, Ceiling]:
        """The extension and its oneDNN report the very level; PyTorch knows no level above AVX512.

        The extension passes ATEN_CPU_CAPABILITY on to its oneDNN (csrc/cpu/dyndisp).
        """
        expected = Ceiling(isa.spec.aten.upper(), _VARIABLE)
        return {"ipex": expected, "ipex-onednn": expected}

    def _extension(self, mode: Mode, precision: Precision) -> Any:
        """The imported extension, once it is certain that it can serve."""
        require(self, mode, precision)
        import torch

        # Anything lower lets FP32 products run as BF16, and the baseline arm would use AMX.
        torch.set_float32_matmul_precision("highest")
        try:
            return importlib.import_module("intel_extension_for_pytorch")
        except (ImportError, OSError) as error:
            raise EngineUnavailableError(
                f"Intel Extension for PyTorch is installed and does not load ({error}): {_REMEDY}"
            ) from error


def _quantized(
    ipex: Any,
    module: torch.nn.Module,
    example_inputs: tuple[torch.Tensor, ...],
    calibration: Sequence[tuple[torch.Tensor, ...]],
) -> torch.nn.Module:
    """Static INT8: observe the calibration inputs, then convert."""
    require_calibration(calibration)
    recipe = ipex.quantization.default_static_qconfig_mapping
    observed = ipex.quantization.prepare(
        module, recipe, example_inputs=example_inputs, inplace=True
    )
    for inputs in calibration:
        observed(*inputs)
    converted: torch.nn.Module = ipex.quantization.convert(observed)
    return converted
