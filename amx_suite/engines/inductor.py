"""Stock PyTorch with its compiler: AOTInductor for inference, ``torch.compile`` for training.

Sources: PyTorch's documentation of AOTInductor ("Ahead-Of-Time Compilation for Torch.Export-ed
Models") with freezing, for which inductor packs weights into oneDNN's layouts, and its tutorial
"PyTorch 2 Export Quantization with X86 Backend through Inductor".

Both are one compiler and write the same kernels; what is compiled ahead of time can be kept whole,
packed weights and all, and a later preparation takes seconds. FP32 linear layers are the one
difference: ``torch.compile`` has MKL compute them, from a packing that cannot be kept, and
AOTInductor has oneDNN, whose log names the kernel.
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
from amx_suite.engines import libraries
from amx_suite.engines.base import Ceiling, Forward, PreparedTraining, require_calibration
from amx_suite.engines.stock import StockTorch, upstream_limits
from amx_suite.errors import NotApplicableError
from amx_suite.host.cpuinfo import read_cpuinfo

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram
    from torch.utils._pytree import TreeSpec

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
_LIBRARY = "model.so"


class Inductor(StockTorch):
    """Whole-graph compilation, static shapes. torch is imported in methods only."""

    name = "inductor"
    distributions: tuple[str, ...] = ("torch", "torchao")
    compiles = True

    def why_unavailable(self) -> str | None:
        """Whether PyTorch and what its compiler calls are installed; imports none of it."""
        if (reason := super().why_unavailable()) is not None:
            return reason
        compiler = _compiler()
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
        torch_folder = f"torch-{_version('torch')}"
        folder = Path(home, "amx-suite", "inductor", torch_folder, f"{isa}-{cpu}")
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
        """Load the model as it was compiled before, or quantize (INT8), compile and keep it.

        Raises EngineUnavailableError, or NotApplicableError for FP64, for INT8 without calibration
        inputs, and for what this version of PyTorch cannot compile.
        """
        import torch
        from torch._inductor.runtime.cache_dir_utils import cache_dir

        self.require(Mode.INFERENCE, precision)
        quantized = precision is Precision.INT8
        if quantized:
            require_calibration(calibration)
        bf16 = precision is Precision.BF16
        folder = Path(cache_dir(), "models")
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=bf16), _limits():
            exported = torch.export.export(module, example_inputs, strict=False)
            key = _key(exported, example_inputs, precision, calibration if quantized else ())
            output = exported.call_spec.out_spec
            if (kept := libraries.find(folder, key)) is not None:
                try:
                    return _loaded(kept, output)
                except RuntimeError:  # whole, and yet of no use here
                    shutil.rmtree(kept, ignore_errors=True)
            if quantized:
                module = _quantized(module, example_inputs, calibration)
                exported = torch.export.export(module, example_inputs, strict=False)
            with libraries.scratch(folder) as scratch:
                made = _compiled(exported, example_inputs, scratch)
                return _loaded(libraries.keep(folder, key, made), output)

    def prepare_training(
        self, module: torch.nn.Module, optimizer: torch.optim.Optimizer, precision: Precision
    ) -> PreparedTraining:
        """Compile the module in place, so that its parameters keep their names.

        Forward and backward graphs are both compiled by the first forward pass. Raises
        EngineUnavailableError, or NotApplicableError for FP64 and INT8.
        """
        self.require(Mode.TRAINING, precision)
        import torch

        # After a few models that share code the compiler would give up and run them uncompiled.
        torch._dynamo.reset()
        compiling: Any = module
        compiling.compile(fullgraph=True, dynamic=False, options=_options())
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


def _compiler() -> str:
    """The C++ compiler that inductor calls."""
    return os.environ.get("CXX", "g++")


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def _options() -> dict[str, Any]:
    """What inductor is told: the thread count is compiled in, and older keys do not hold it."""
    import torch

    return {"cpp.threads": torch.get_num_threads()}


def _key(
    exported: ExportedProgram,
    example_inputs: tuple[torch.Tensor, ...],
    precision: Precision,
    calibration: Sequence[tuple[torch.Tensor, ...]],
) -> str:
    """All that a compiled model is made from, but the ceiling and the CPU, which have a folder."""
    import torch

    compiler = Path(shutil.which(_compiler()) or "").resolve()
    modules = exported.graph_module.named_modules()
    digest = hashlib.sha256()
    for fact in (
        [(name, part.code) for name, part in modules if isinstance(part, torch.fx.GraphModule)],
        exported.graph_signature,
        exported.call_spec,
        [_layout(tensor) for tensor in example_inputs],
        precision,
        _options(),
        (torch.__version__, torch.version.git_version, _version("torchao")),
        (compiler, compiler.stat().st_size, compiler.stat().st_mtime_ns),
        Path(__file__).read_text(),
    ):
        digest.update(f"{fact}\n".encode())
    tensors: list[tuple[str, Any]] = [*exported.state_dict.items(), *exported.constants.items()]
    tensors += [("", tensor) for batch in calibration for tensor in batch]
    for name, tensor in tensors:
        if not isinstance(tensor, torch.Tensor):
            raise NotApplicableError(f"the model's constant {name} is no tensor")
        digest.update(f"{name} {_layout(tensor)}\n".encode())
        content: Any = tensor.detach().reshape(-1).view(torch.uint8).numpy()
        digest.update(content)
    return digest.hexdigest()


def _layout(tensor: torch.Tensor) -> tuple[Any, ...]:
    return tensor.dtype, tuple(tensor.shape), tensor.stride()


def _compiled(
    exported: ExportedProgram, example_inputs: tuple[torch.Tensor, ...], scratch: Path
) -> Path:
    """A folder with the library that inductor makes of the program, and what it needs beside it."""
    from torch import _inductor

    options = {
        **_options(),
        "freezing": True,
        "aot_inductor.output_path": str(scratch / "written"),
    }
    aot_compile: Any = _inductor.aot_compile
    library = Path(aot_compile(exported.module(), example_inputs, options=options))
    made = scratch / "made"
    made.mkdir()
    library.rename(made / _LIBRARY)
    # Calls of operators that inductor neither writes nor has a C function for, if there are any.
    calls = library.with_suffix(".json")
    if calls.exists():
        calls.rename(made / Path(_LIBRARY).with_suffix(".json"))
    return made


def _loaded(model: Path, output: TreeSpec) -> Forward:
    """The model in that folder, from flat inputs to an output of that structure."""
    import torch
    from torch.utils import _pytree

    # PyTorch's loader of packages unpacks each into a folder that a killed process leaves behind.
    native: Any = torch._C
    runner = native._aoti.AOTIModelContainerRunnerCpu(str(model / _LIBRARY), 1)

    def forward(*inputs: torch.Tensor) -> Any:
        return _pytree.tree_unflatten(runner.run(list(inputs)), output)

    return forward


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
