"""OpenVINO's CPU plugin as an engine: the example of one that is not part of the suite.

Sources: OpenVINO's documentation of ``convert_model``, of the CPU device's properties, and of
``OV_CPU_MAX_ISA`` (src/plugins/intel_cpu/docs/debug_capabilities/max_isa.md); NNCF's documentation
of post-training quantization.

What ran is told by OpenVINO's own performance counters. The plugin holds a oneDNN of its own that
obeys ONEDNN_VERBOSE at the start of the process only, and a log that is always on would be written
while timing; and it multiplies FP32 by MLAS too, which that log does not show.
"""

from __future__ import annotations

__all__ = ["OpenVino"]

import importlib.metadata
import os
from collections.abc import Sequence
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
from amx_suite.errors import NotApplicableError

if TYPE_CHECKING:
    import torch

_VARIABLE = "OV_CPU_MAX_ISA"
_REMEDY = "install it with: pip install 'amx-suite[openvino]'"
_HINTS = {Precision.FP32: "f32", Precision.BF16: "bf16", Precision.INT8: "f32"}
#: How the plugin's node types begin that multiply matrices, and oneDNN's words for them.
_KINDS = {
    "Convolution": "convolution",
    "Deconvolution": "deconvolution",
    "FullyConnected": "inner_product",
    "MatMul": "matmul",
}
_TYPES = {"i8": "s8", "I8": "s8", "U8": "u8"}


class OpenVino:
    """Inference by OpenVINO. Neither it nor torch is imported outside the methods."""

    name = "openvino"
    distributions: tuple[str, ...] = ("torch", "openvino", "nncf")
    compiles = True

    def why_unavailable(self) -> str | None:
        """Whether OpenVINO and PyTorch are installed; imports neither."""
        for package, title in (("openvino", "OpenVINO"), ("torch", "PyTorch")):
            try:
                importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                return f"{title} is not installed: {_REMEDY}"
        return None

    def why_not(self, mode: Mode, precision: Precision) -> str | None:
        """Inference only; FP64 is the arbiter's."""
        if precision is Precision.FP64:
            return "FP64 is the arbiter's precision and no engine's arm"
        if mode is Mode.TRAINING:
            return "OpenVINO runs trained models: there is no training"
        return None

    def variables(self, isa: Isa) -> dict[str, str]:
        """The ceiling for OpenVINO's own code, in oneDNN's words; its oneDNN reads oneDNN's own."""
        return {_VARIABLE: isa.spec.onednn}

    def prepare_inference(
        self,
        module: torch.nn.Module,
        example_inputs: tuple[torch.Tensor, ...],
        precision: Precision,
        calibration: Sequence[tuple[torch.Tensor, ...]],
    ) -> Forward:
        """Convert for the example's very shapes, quantize for INT8, compile and run once.

        What INT8 leaves unquantized computes in FP32 under each ceiling. Raises
        EngineUnavailableError, or NotApplicableError for FP64 and for INT8 without calibration
        inputs, without NNCF, or with nothing to quantize.
        """
        import torch

        require(self, Mode.INFERENCE, precision)
        import openvino

        shapes = [openvino.PartialShape(list(tensor.shape)) for tensor in example_inputs]
        model = openvino.convert_model(module, input=shapes, example_input=example_inputs)
        if precision is Precision.INT8:
            model = _quantized(model, calibration)
        settings = {
            "INFERENCE_PRECISION_HINT": _HINTS[precision],
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "PERFORMANCE_HINT": "LATENCY",
            # The suite has bound the process to the CPUs of the case.
            "ENABLE_CPU_PINNING": False,
            # Two readings of a clock for each layer.
            "PERF_COUNT": True,
        }
        request = openvino.compile_model(model, "CPU", settings).create_infer_request()
        log = _follow_kernel_log()

        def forward(*inputs: torch.Tensor) -> torch.Tensor:
            arrays = [tensor.contiguous().numpy() for tensor in inputs]
            found = request.infer(arrays, share_inputs=True, share_outputs=True)
            if log.enabled:
                _write_profile(request.profiling_info)
            return torch.from_numpy(found[0])

        forward(*example_inputs)
        return forward

    def prepare_training(
        self, module: torch.nn.Module, optimizer: torch.optim.Optimizer, precision: Precision
    ) -> PreparedTraining:
        """Raises NotApplicableError."""
        raise NotApplicableError(self.why_not(Mode.TRAINING, precision))

    def gradients(self, prepared: PreparedTraining) -> dict[str, torch.Tensor]:
        """Raises NotApplicableError."""
        raise NotApplicableError(self.why_not(Mode.TRAINING, Precision.FP32))

    def read_back(self) -> dict[str, str]:
        """Whether OpenVINO's own code may use BF16, the one ceiling that its capabilities show.

        They follow OV_CPU_MAX_ISA alone. What its oneDNN took from ONEDNN_MAX_CPU_ISA can be read
        nowhere: below AMX only the jail vouches for that.
        """
        import openvino

        found = openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
        return {"openvino": "BF16" if "BF16" in found else "FP32"}

    def ceilings(self, isa: Isa) -> dict[str, Ceiling]:
        """BF16 from the ceiling of that name on, and not below."""
        bf16 = isa in (Isa.AVX512_BF16, Isa.AMX)
        return {"openvino": Ceiling("BF16" if bf16 else "FP32", _VARIABLE)}


def _quantized(model: Any, calibration: Sequence[tuple[torch.Tensor, ...]]) -> Any:
    """Static INT8 by NNCF's default recipe."""
    require_calibration(calibration)
    try:
        import nncf
    except ImportError as error:
        raise NotApplicableError(f"INT8 needs NNCF ({error}): {_REMEDY}") from error

    arrays = [[tensor.contiguous().numpy() for tensor in inputs] for inputs in calibration]
    quantized = nncf.quantize(model, nncf.Dataset(arrays), subset_size=len(arrays))
    if not any(node.get_type_name() == "FakeQuantize" for node in quantized.get_ops()):
        raise NotApplicableError("NNCF found nothing to quantize in this model")
    return quantized


class _Log:
    """Whether the suite wants to know which kernels run."""

    enabled = False


def _follow_kernel_log() -> type[_Log]:
    """Have PyTorch's switch of the oneDNN log, which the suite turns, switch the profile too."""
    from torch.backends import mkldnn

    backend: Any = mkldnn
    switch: Any = backend.verbose
    if not issubclass(switch, _Log):

        class Both(switch, _Log):  # type: ignore[misc]
            def __enter__(self) -> Any:
                _Log.enabled = True
                return super().__enter__()

            def __exit__(self, *error: object) -> Any:
                _Log.enabled = False
                return super().__exit__(*error)

        backend.verbose = Both
    return _Log


def _write_profile(nodes: Sequence[Any]) -> None:
    """One record in oneDNN's form for each layer that ran; ``openvino:`` marks whose it is.

    A layer's kernel is a name like ``brgemm_avx512_amx_bf16``, the input's type at its end.
    """
    lines = []
    for node in nodes:
        if node.status.name != "EXECUTED":
            continue
        kernel, _, dtype = node.exec_type.rpartition("_")
        own = node.node_type
        kind = next((kind for start, kind in _KINDS.items() if own.startswith(start)), own.lower())
        milliseconds = node.real_time.total_seconds() * 1e3
        lines.append(
            f"onednn_verbose,v1,primitive,exec,cpu,{kind},openvino:{kernel},undef,"
            f"src:{_TYPES.get(dtype, dtype)}::,,,,{milliseconds:.3f}\n"
        )
    os.write(1, "".join(lines).encode())
