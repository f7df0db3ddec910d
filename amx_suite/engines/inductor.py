"""Stock PyTorch with its compiler: ``torch.compile`` and PT2E quantization for x86.

Sources: PyTorch's tutorials "PyTorch 2 Export Quantization with X86 Backend through Inductor" and
"torch.compile" with freezing, for which inductor packs weights into oneDNN's and MKL's layouts.
"""

from __future__ import annotations

__all__ = ["Inductor"]

import hashlib
import importlib
import importlib.metadata
import os
import shutil
import sysconfig
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amx_suite.core.case import Mode, Precision
from amx_suite.core.isa import Isa
from amx_suite.engines.base import Ceiling, Forward, PreparedTraining
from amx_suite.engines.stock import StockTorch, upstream_limits
from amx_suite.errors import NotApplicableError
from amx_suite.host.cpuinfo import read_cpuinfo

if TYPE_CHECKING:
    import torch

_QUANTIZERS = (
    # PyTorch's own until 2.8; from then on torchao is its home.
    (
        "torch.ao.quantization.quantize_pt2e",
        "torch.ao.quantization.quantizer.x86_inductor_quantizer",
    ),
    (
        "torchao.quantization.pt2e.quantize_pt2e",
        "torchao.quantization.pt2e.quantizer.x86_inductor_quantizer",
    ),
)
_ID_LENGTH = 12


class Inductor(StockTorch):
    """Whole-graph compilation, static shapes. torch is imported in methods only."""

    name = "inductor"
    distributions: tuple[str, ...] = ("torch", "torchao")
    compiles = True

    def why_unavailable(self) -> str | None:
        """Whether PyTorch and what its compiler calls are installed; imports none of it."""
        if (reason := super().why_unavailable()) is not None:
            return reason
        compiler = os.environ.get("CXX", "g++")
        if shutil.which(compiler) is None:
            return (
                f"torch.compile writes C++ and there is no compiler '{compiler}' on PATH: install "
                "g++ (on Debian or Ubuntu: apt-get install g++), or name one in CXX"
            )
        headers = Path(sysconfig.get_path("include"), "Python.h")
        if not headers.is_file():
            return (
                f"torch.compile needs Python's headers and there is no {headers}: install them "
                "(on Debian or Ubuntu: apt-get install python3-dev)"
            )
        return None

    def variables(self, isa: Isa) -> dict[str, str]:
        """Beside the level, where compiled code is kept: no two ceilings or CPUs share a folder.

        Inductor's keys hold neither the instruction set that it found nor the CPU that the C++
        compiler tuned for, so that code with tile instructions could be loaded where none may run.
        The CPU's vector instructions are looked up; only the trial compilation that inductor adds
        is left out, since it starts a second PyTorch in each child.
        """
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        flags = " ".join(read_cpuinfo().flags)
        cpu = hashlib.sha256(flags.encode()).hexdigest()[:_ID_LENGTH]
        try:
            version = importlib.metadata.version("torch")
        except importlib.metadata.PackageNotFoundError:
            version = "none"
        folder = Path(home, "amx-suite", "inductor", f"torch-{version}", f"{isa}-{cpu}")
        return {
            **super().variables(isa),
            "TORCHINDUCTOR_CACHE_DIR": str(folder),
            "TORCHINDUCTOR_VEC_ISA_OK": "1",
        }

    def prepare_inference(
        self,
        module: torch.nn.Module,
        example_inputs: tuple[torch.Tensor, ...],
        precision: Precision,
        calibration: Sequence[tuple[torch.Tensor, ...]],
    ) -> Forward:
        """Quantize (INT8), compile with frozen weights, and run once, which is when it compiles.

        Raises EngineUnavailableError, or NotApplicableError for FP64, for INT8 without calibration
        inputs, and for what this version of PyTorch cannot compile.
        """
        import torch

        self.require(Mode.INFERENCE, precision)
        bf16 = precision is Precision.BF16
        with torch.no_grad(), _compiling(freezing=True):
            if precision is Precision.INT8:
                module = _quantized(module, example_inputs, calibration)
            compiled: Any = torch.compile(module, **_options())

            def forward(*inputs: torch.Tensor) -> Any:
                with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                    return compiled(*inputs)

            forward(*example_inputs)
        return forward

    def prepare_training(
        self, module: torch.nn.Module, optimizer: torch.optim.Optimizer, precision: Precision
    ) -> PreparedTraining:
        """Compile the module in place, so that its parameters keep their names.

        Forward and backward graphs are both compiled by the first forward pass. Raises
        EngineUnavailableError, or NotApplicableError for FP64 and INT8.
        """
        self.require(Mode.TRAINING, precision)
        with _compiling(freezing=False):
            compiling: Any = module
            compiling.compile(**_options())
        return PreparedTraining(module, optimizer, partial(_forward_pass, precision))

    def read_back(self) -> dict[str, str]:
        """Beside PyTorch's own level, the instruction set that inductor writes code for."""
        from torch._inductor.cpu_vec_isa import pick_vec_isa

        written = str(pick_vec_isa())
        level = "AMX" if "amx" in written else written.split()[0].upper()
        return {**super().read_back(), "inductor": level}

    def ceilings(self, isa: Isa) -> dict[str, Ceiling]:
        """No code with tiles under a ceiling without AMX.

        Inductor asks the kernel for the tile permission and writes none where it is refused.
        Below AMX it knows vector widths only, and its own code holds no product of low precision.
        Where AMX is allowed, inductor's own tiles need a recent compiler, and oneDNN's do not:
        nothing is expected.
        """
        found = super().ceilings(isa)
        if not isa.allows_amx:
            found["inductor"] = found["torch"]
        return found


def _options() -> dict[str, Any]:
    """Arguments of torch.compile: one graph of fixed shapes, or an error.

    The thread count is compiled in, and older keys of the cache do not hold it unless it is set.
    """
    import torch

    return {
        "fullgraph": True,
        "dynamic": False,
        "options": {"cpp.threads": torch.get_num_threads()},
    }


@contextmanager
def _compiling(*, freezing: bool) -> Iterator[None]:
    """Start from an empty table of compiled code; what torch cannot compile is NOT_APPLICABLE.

    After a few models that share code the compiler would give up and run them uncompiled. Freezing
    is set for the process: given as an option of torch.compile, the tracer does not see it, and
    weights stay inputs that cannot be packed.
    """
    import torch
    from torch._inductor import config

    torch._dynamo.reset()
    config.freezing = freezing
    with _limits():
        yield


def _limits() -> Any:
    from torch._dynamo import exc

    return upstream_limits("compile this model", exc.Unsupported, exc.UserError)


@contextmanager
def _forward_pass(precision: Precision) -> Iterator[None]:
    import torch

    bf16 = precision is Precision.BF16
    with _limits(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        yield


def _quantized(
    module: torch.nn.Module,
    example_inputs: tuple[torch.Tensor, ...],
    calibration: Sequence[tuple[torch.Tensor, ...]],
) -> torch.nn.Module:
    """Static INT8 of the exported graph: observe the calibration inputs, then convert."""
    if not calibration:
        raise NotApplicableError("static INT8 quantization needs calibration inputs: none given")
    import torch

    steps, x86 = _quantizer()
    quantizer = x86.X86InductorQuantizer()
    quantizer.set_global(x86.get_default_x86_inductor_quantization_config())
    graph = torch.export.export(module, example_inputs, strict=True).module()
    observed = steps.prepare_pt2e(graph, quantizer)
    for inputs in calibration:
        observed(*inputs)
    converted: Any = steps.convert_pt2e(observed)
    if not any("quantize" in str(node.target) for node in converted.graph.nodes):
        raise NotApplicableError(
            "the x86 quantizer found no product with weights to quantize in this model"
        )
    quantized: torch.nn.Module = converted
    return quantized


def _quantizer() -> tuple[Any, Any]:
    """The modules with the steps of PT2E quantization and with its rules for x86."""
    missing: ImportError | None = None
    for steps, rules in _QUANTIZERS:
        try:
            return importlib.import_module(steps), importlib.import_module(rules)
        except ImportError as error:
            missing = error
    raise NotApplicableError(
        f"INT8 needs torchao with this version of PyTorch ({missing}): pip install torchao"
    )
