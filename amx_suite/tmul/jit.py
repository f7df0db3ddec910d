"""Assemble LLVM IR and inline assembly at run time into ctypes callables.

llvmlite brings LLVM's assembler along, so no compiler is needed, and assembling an instruction does
not need a CPU that has it: only running it does.

An instruction that LLVM does not know ends the process with exit code 1 and no exception: that is
how LLVM treats inline assembly it cannot parse. Assemble constant text only, and keep each text
covered by a test.
"""

from __future__ import annotations

__all__ = ["TILE_FEATURES", "AssemblyError", "Library", "asm_function", "load", "machine_code"]

import ctypes
import functools
import platform
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import llvmlite.binding as llvm

from amx_suite.errors import AmxSuiteError

_TRIPLE = "x86_64-unknown-linux-gnu"

#: LLVM's names of the AMX features (llvm/lib/Target/X86/X86.td).
TILE_FEATURES = ("amx-tile", "amx-bf16", "amx-int8", "amx-fp16", "amx-complex")

#: Flags that every call of inline assembly on x86 may change.
_ALWAYS_CLOBBERED = ("memory", "dirflag", "fpsr", "flags")


class AssemblyError(AmxSuiteError):
    """Code could not be assembled or loaded here; the message says why."""


def asm_function(
    name: str,
    instructions: Iterable[str],
    arguments: Sequence[str] = (),
    clobbers: Sequence[str] = (),
) -> str:
    """LLVM IR of ``void name(arguments)`` whose body is the given instructions, in Intel syntax.

    ``arguments`` are LLVM types (``ptr``, ``i64``), each held in a general register that the
    instructions name ``$0``, ``$1``, ...; ``clobbers`` are the registers that they write besides,
    such as ``tmm0``.
    """
    body = "\n".join(instructions)
    escaped = body.replace("\\", "\\5C").replace('"', "\\22").replace("\n", "\\0A")
    constraints = ["r"] * len(arguments)
    constraints += [f"~{{{register}}}" for register in (*clobbers, *_ALWAYS_CLOBBERED)]
    values = ", ".join(f"{kind} %a{index}" for index, kind in enumerate(arguments))
    return (
        f"define void @{name}({values}) {{\n"
        f'  call void asm sideeffect inteldialect "{escaped}", "{",".join(constraints)}"'
        f"({values})\n"
        "  ret void\n"
        "}\n"
    )


@functools.cache
def _initialize() -> None:
    if platform.machine() not in ("x86_64", "AMD64"):
        raise AssemblyError(
            f"this machine is {platform.machine()}: x86-64 code can neither be assembled nor run "
            "here. Use an x86-64 machine."
        )
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.initialize_native_asmparser()


def _parse(ir: str, cpu: str, features: Sequence[str]) -> tuple[Any, Any]:
    _initialize()
    try:
        module = llvm.parse_assembly(ir)
        module.triple = _TRIPLE
        module.verify()
    except RuntimeError as error:
        raise AssemblyError(f"LLVM does not accept this IR: {str(error).strip()}") from error
    machine = llvm.Target.from_triple(_TRIPLE).create_target_machine(
        cpu=cpu, features=",".join(f"+{feature}" for feature in features), opt=2
    )
    return module, machine


def machine_code(ir: str, *, cpu: str = "x86-64", features: Sequence[str] = TILE_FEATURES) -> bytes:
    """The bytes that the IR's functions become, without loading them; for inspection.

    Raises AssemblyError for malformed IR.
    """
    module, machine = _parse(ir, cpu, features)
    elf = llvm.object_file.ObjectFileRef.from_data(machine.emit_object(module))
    return b"".join(section.data() for section in elf.sections() if section.is_text())


class Library:
    """Loaded machine code; its functions stay callable for as long as one of them is held."""

    def __init__(self, ir: str, *, cpu: str, features: Sequence[str]) -> None:
        module, machine = _parse(ir, cpu, features)
        try:
            self._engine = llvm.create_mcjit_compiler(module, machine)
            self._engine.finalize_object()
        except RuntimeError as error:
            raise AssemblyError(
                f"the assembled code could not be loaded: {error}. A hardened kernel may forbid "
                "executable memory to this process; allow it (SELinux: execmem)."
            ) from error

    def function(self, name: str, *argtypes: Any, restype: Any = None) -> Callable[..., Any]:
        """The named function as a ctypes callable; raises AssemblyError if there is none."""
        address = self._engine.get_function_address(name)
        if not address:
            raise AssemblyError(f"the assembled code has no function '{name}'")
        callable_ = ctypes.CFUNCTYPE(restype, *argtypes)(address)
        # The memory behind the address belongs to the engine: whoever holds the one must hold
        # the other.
        callable_.library = self  # type: ignore[attr-defined]
        return callable_


@functools.cache
def load(ir: str, *, cpu: str = "x86-64", features: tuple[str, ...] = TILE_FEATURES) -> Library:
    """Assemble and load, once per process for the same text.

    ``cpu`` is what LLVM may choose instructions for beyond those written out. The default is plain
    x86-64, so that nothing but the written instructions can be what a CPU lacks; kernels whose
    vector code LLVM is to choose say ``sapphirerapids``. Raises AssemblyError.
    """
    return Library(ir, cpu=cpu, features=features)
