"""Stock PyTorch with its compiler: AOTInductor for inference, ``torch.compile`` for training.

Sources: PyTorch's documentation of AOTInductor ("Ahead-Of-Time Compilation for Torch.Export-ed
Models") with freezing, for which inductor packs weights into oneDNN's layouts, and its tutorial
"PyTorch 2 Export Quantization with X86 Backend through Inductor".

Both are one compiler and write the same kernels. A model that is compiled ahead of time can be kept
with its packed weights, so a later preparation takes seconds. They differ in FP32 linear layers:
``torch.compile`` has MKL compute them, from a packing that cannot be kept, and AOTInductor has
oneDNN, whose log names the kernel.
"""

from __future__ import annotations

__all__ = ["Inductor"]

import hashlib
import importlib
import os
import shutil
import sysconfig
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amx_suite.core.case import Mode
from amx_suite.core.isa import Isa
from amx_suite.core.packages import installed
from amx_suite.core.precision import Precision
from amx_suite.engines import libraries
from amx_suite.engines.base import (
    Batches,
    Ceiling,
    Engine,
    Forward,
    Tensors,
    autocast,
    torch_series,
    upstream_limits,
)
from amx_suite.errors import NotApplicableError, OutputError
from amx_suite.files import scratch_folder
from amx_suite.folders import holds_programs, temporary_folder, user_folder
from amx_suite.host.cpuinfo import read_cpuinfo

if TYPE_CHECKING:
    import torch
    from torch.export import ExportedProgram

#: The last series of PyTorch that has the x86 quantizer itself; torchao has it since.
_LAST_WITH_QUANTIZER = (2, 8)
_ID_LENGTH = 12
_LIBRARY = "model.so"


class Inductor(Engine):
    """Whole-graph compilation, static shapes. torch is imported in methods only."""

    name = "inductor"
    distributions = ("torch", "torchao")
    compiles = True

    def why_unavailable(self) -> str | None:
        """Whether PyTorch and what its compiler calls are installed; imports none of it."""
        if (reason := super().why_unavailable()) is not None:
            return reason
        compiler = _compiler()
        if shutil.which(compiler) is None:
            where = "" if Path(compiler).is_absolute() else " on PATH"
            return (
                f"torch.compile writes C++ and there is no compiler '{compiler}'{where}: install "
                "g++ (on Debian or Ubuntu: apt-get install g++), or name one in CXX"
            )
        headers = Path(sysconfig.get_path("include"), "Python.h")
        if not headers.is_file():
            return (
                f"torch.compile needs Python's headers and there is no {headers}: install them "
                "(on Debian or Ubuntu: apt-get install python3-dev)"
            )
        return _why_no_folder()

    def why_not(self, mode: Mode, precision: Precision) -> str | None:
        """As for every engine, and quantization without a quantizer; imports none."""
        if (reason := super().why_not(mode, precision)) is not None:
            return reason
        own = torch_series() <= _LAST_WITH_QUANTIZER
        if precision.spec.is_quantized and not own and installed("torchao") is None:
            return (
                f"torch {installed('torch')} has no quantizer of its own and torchao is not "
                "installed: pip install 'amx-suite[stock]'"
            )
        return None

    def variables(self, isa: Isa) -> dict[str, str]:
        """Beside the level, the folder of compiled code, one for each ceiling, CPU and version.

        Inductor's keys hold neither the instruction set that it found nor the CPU that the C++
        compiler tuned for, so code with tile instructions could be loaded where none may run.
        TORCHINDUCTOR_VEC_ISA_OK leaves out a trial compilation, which starts a second PyTorch in
        each child; the CPU's vector instructions are looked up all the same.

        Where the user's cache cannot serve, no folder is set, and inductor takes one in the child's
        temporary folder, which ends with the child.
        """
        found = {**super().variables(isa), "TORCHINDUCTOR_VEC_ISA_OK": "1"}
        cache = _cache()
        if cache is not None:
            flags = " ".join(read_cpuinfo().flags)
            cpu = hashlib.sha256(flags.encode()).hexdigest()[:_ID_LENGTH]
            version = f"torch-{installed('torch')}"
            folder = cache / "inductor" / version / f"{isa}-{cpu}"
            found["TORCHINDUCTOR_CACHE_DIR"] = str(folder)
        return found

    def ceilings(self, isa: Isa) -> dict[str, Ceiling]:
        """Beside PyTorch's own, no code with tiles under a ceiling without AMX.

        Inductor asks the kernel for the tile permission and writes no tiles where it is refused.
        Below AMX it knows vector widths only, and its own code holds no product of low precision.
        Under AMX nothing is expected: its own tiles need a recent compiler, and oneDNN's do not.
        """
        found = super().ceilings(isa)
        if not isa.allows_amx:
            found["inductor"] = found["torch"]
        return found

    def read_back(self) -> dict[str, str]:
        """Beside PyTorch's own level, the instruction set that inductor writes code for."""
        from torch._inductor.cpu_vec_isa import pick_vec_isa

        written = str(pick_vec_isa())
        level = "AMX" if "amx" in written else written.split()[0].upper()
        return {**super().read_back(), "inductor": level}

    def prepare_inference(
        self, module: torch.nn.Module, inputs: Tensors, precision: Precision, calibration: Batches
    ) -> Forward:
        """Load the model as it was compiled before, or quantize, compile and keep it."""
        import torch
        from torch._inductor.runtime.cache_dir_utils import cache_dir

        folder = Path(cache_dir(), "models")
        with torch.no_grad(), _compiling(precision):
            exported = torch.export.export(module, inputs, strict=False)
            observed = calibration if precision.spec.is_quantized else ()
            key = _key(exported, inputs, precision, observed)
            if (kept := libraries.find(folder, key)) is not None:
                return _loaded(kept)
            if precision.spec.is_quantized:
                module = _quantized(module, inputs, calibration)
                exported = torch.export.export(module, inputs, strict=False)
            folder.mkdir(parents=True, exist_ok=True)
            with scratch_folder(folder, "compiling-") as scratch:
                made = _compiled(exported, inputs, scratch)
                return _loaded(libraries.keep(folder, key, made))

    def prepare_training(
        self, module: torch.nn.Module, optimizer: torch.optim.Optimizer, precision: Precision
    ) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        """Have the module compiled in place, so that its parameters keep their names."""
        import torch

        # After a few models that share code the compiler would give up and run them uncompiled.
        torch._dynamo.reset()
        compiling: Any = module
        compiling.compile(fullgraph=True, dynamic=False, options=_options())
        return module, optimizer

    def training_pass(self, precision: Precision) -> AbstractContextManager[None]:
        """Autocast; the first pass compiles forward and backward graphs."""
        return _compiling(precision)


def _why_no_folder() -> str | None:
    """Why compiled code can go neither to the user's cache nor to a child's temporary folder."""
    if _cache() is not None:
        return None
    try:
        temporary = temporary_folder()
    except OutputError as error:
        return str(error)
    if holds_programs(temporary):
        return None
    return (
        "torch.compile writes libraries and loads them, and neither the cache of this user nor "
        f"{temporary} takes them (not writable, or mounted noexec): name a folder that does in "
        "XDG_CACHE_HOME"
    )


def _cache() -> Path | None:
    """The suite's folder in the user's cache, None where no library can be written and loaded."""
    cache = user_folder("XDG_CACHE_HOME", ".cache")
    return cache if cache is not None and holds_programs(cache) else None


def _compiler() -> str:
    """The C++ compiler that inductor calls."""
    return os.environ.get("CXX", "g++")


def _options() -> dict[str, Any]:
    """The thread count is compiled in, and inductor's own keys have not always held it."""
    import torch

    return {"cpp.threads": torch.get_num_threads()}


def _key(
    exported: ExportedProgram, inputs: Tensors, precision: Precision, calibration: Batches
) -> str:
    """Digest of all that a compiled model depends on, except what its folder is named by."""
    import torch

    compiler = Path(shutil.which(_compiler()) or "").resolve()
    modules = exported.graph_module.named_modules()
    digest = hashlib.sha256()
    for fact in (
        [(name, part.code) for name, part in modules if isinstance(part, torch.fx.GraphModule)],
        exported.graph_signature,
        exported.call_spec,
        [_layout(tensor) for tensor in inputs],
        precision,
        _options(),
        # With its place: another environment may have another build of the same version.
        (torch.__version__, torch.version.git_version, torch.__file__, installed("torchao")),
        (compiler, compiler.stat().st_size, compiler.stat().st_mtime_ns),
        Path(__file__).read_text(),
    ):
        digest.update(f"{fact}\n".encode())
    tensors: list[tuple[str, Any]] = [*exported.state_dict.items(), *exported.constants.items()]
    tensors += [("", tensor) for batch in calibration for tensor in batch]
    for name, tensor in tensors:
        digest.update(f"{name} {_layout(tensor)}\n".encode())
        digest.update(tensor.detach().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def _layout(tensor: torch.Tensor) -> tuple[Any, ...]:
    return tensor.dtype, tuple(tensor.shape), tensor.stride()


def _compiled(exported: ExportedProgram, inputs: Tensors, scratch: Path) -> Path:
    """A folder with the library that inductor makes of the program, and what it needs beside it."""
    from torch import _inductor

    options = {
        **_options(),
        "freezing": True,
        "aot_inductor.output_path": str(scratch / "written"),
    }
    aot_compile: Any = _inductor.aot_compile
    library = Path(aot_compile(exported.module(), inputs, options=options))
    made = scratch / "made"
    made.mkdir()
    library.rename(made / _LIBRARY)
    # It lists calls of operators that inductor neither writes nor has a C function for, if any.
    calls = library.with_suffix(".json")
    if calls.exists():
        calls.rename(made / Path(_LIBRARY).with_suffix(".json"))
    return made


def _loaded(model: Path) -> Forward:
    import torch

    # PyTorch's loader of packages unpacks each into a folder that a killed process leaves behind.
    native: Any = torch._C
    runner = native._aoti.AOTIModelContainerRunnerCpu(str(model / _LIBRARY), 1)

    def forward(*inputs: torch.Tensor) -> Any:
        (output,) = runner.run(list(inputs))
        return output

    return forward


@contextmanager
def _compiling(precision: Precision) -> Iterator[None]:
    """Autocast; what this version of PyTorch cannot compile is a NotApplicableError."""
    from torch._dynamo import exc

    limits = exc.Unsupported, exc.UserError
    with upstream_limits("compile this model", *limits), autocast(precision):
        yield


def _quantized(module: torch.nn.Module, inputs: Tensors, calibration: Batches) -> torch.nn.Module:
    """Static INT8 of the exported graph: observe the calibration inputs, then convert."""
    import torch

    steps, x86 = _quantizer()
    quantizer = x86.X86InductorQuantizer()
    quantizer.set_global(x86.get_default_x86_inductor_quantization_config())
    graph = torch.export.export(module, inputs, strict=True).module()
    observed = steps.prepare_pt2e(graph, quantizer)
    for batch in calibration:
        observed(*batch)
    converted: Any = steps.convert_pt2e(observed)
    if not any("quantize" in str(node.target) for node in converted.graph.nodes):
        raise NotApplicableError(
            "the x86 quantizer found no product with weights to quantize in this model"
        )
    quantized: torch.nn.Module = converted
    return quantized


def _quantizer() -> tuple[Any, Any]:
    """The modules with the steps of PT2E quantization and with its rules for x86."""
    own = torch_series() <= _LAST_WITH_QUANTIZER
    home = "torch.ao.quantization" if own else "torchao.quantization.pt2e"
    try:
        return (
            importlib.import_module(f"{home}.quantize_pt2e"),
            importlib.import_module(f"{home}.quantizer.x86_inductor_quantizer"),
        )
    except Exception as error:  # a torchao for another PyTorch may raise anything
        raise NotApplicableError(
            f"{home} does not load with torch {installed('torch')} ({error}): install a torchao "
            "for it, see torchao's table of compatible versions"
        ) from error
