"""Assemble machine code at run time into ctypes callables.

llvmlite includes LLVM's assembler, so no compiler is needed. Assembling an instruction does not
need a CPU that has it; only running it does.

An instruction that LLVM does not know ends the process with exit code 1 and no exception: that is
how LLVM treats inline assembly it cannot parse. Assemble constant text only, and cover each text
with a test.
"""

from __future__ import annotations

__all__ = ["assemble", "assemble_timed"]

import ctypes
import functools
import platform
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import llvmlite.binding as llvm

from amx_suite.errors import AssemblyError
from amx_suite.tmul.kernel_calls import require_executable_memory

_TRIPLE = "x86_64-unknown-linux-gnu"

#: LLVM's names of the AMX features (llvm/lib/Target/X86/X86.td).
_TILE_FEATURES = ("amx-tile", "amx-bf16", "amx-int8", "amx-fp16", "amx-complex")

#: State that every call of inline assembly on x86 may change.
_ALWAYS_CLOBBERED = ("memory", "dirflag", "fpsr", "flags")

_TYPES: dict[str, Any] = {"void": None, "ptr": ctypes.c_void_p, "i64": ctypes.c_int64}

#: Leaves it in rax. LFENCE lets what comes before end first (Intel SDM volume 2, RDTSC).
_READ_COUNTER = ("lfence", "rdtsc", "shl rdx, 32", "or rax, rdx", "lfence")


def assemble(
    instructions: Iterable[str],
    arguments: Sequence[str] = (),
    clobbers: Sequence[str] = (),
    features: tuple[str, ...] = _TILE_FEATURES,
) -> Callable[..., None]:
    """The instructions, in Intel syntax, as a callable that returns nothing.

    ``arguments`` are ``ptr`` or ``i64`` each, held in a general register that the instructions name
    ``$0``, ``$1``, ...; ``clobbers`` are the registers that they write besides, such as ``tmm0``.
    ``features`` are LLVM's names of what they use beyond plain x86-64. The same code is assembled
    once per process. Raises AssemblyError, and NotApplicableError where memory that was written
    may not be executed.
    """
    body = f"  {_asm(instructions, arguments, clobbers)}\n  ret void\n"
    return _callable("void", body, arguments, features)


def assemble_timed(
    instructions: Iterable[str],
    arguments: Sequence[str] = (),
    clobbers: Sequence[str] = (),
    features: tuple[str, ...] = _TILE_FEATURES,
) -> Callable[..., int]:
    """As ``assemble``, but returns the ticks of the time-stamp counter that the instructions took.

    The counter is read right before and after them, so that no work of Python counts.
    """
    now = _asm(_READ_COUNTER, (), ("rdx",), result="rax")
    body = (
        f"  %start = {now}\n"
        f"  {_asm(instructions, arguments, clobbers)}\n"
        f"  %end = {now}\n"
        "  %ticks = sub i64 %end, %start\n"
        "  ret i64 %ticks\n"
    )
    return _callable("i64", body, arguments, features)


def _asm(
    instructions: Iterable[str],
    arguments: Sequence[str],
    clobbers: Sequence[str],
    result: str = "",
) -> str:
    """LLVM's call of inline assembly; its value is the register ``result`` if that is given."""
    body = "\\0A".join(instructions)
    constraints = [f"={{{result}}}"] * bool(result) + ["r"] * len(arguments)
    constraints += [f"~{{{register}}}" for register in (*clobbers, *_ALWAYS_CLOBBERED)]
    kind = "i64" if result else "void"
    return (
        f'call {kind} asm sideeffect inteldialect "{body}", "{",".join(constraints)}"'
        f"({_parameters(arguments)})"
    )


def _parameters(arguments: Sequence[str]) -> str:
    return ", ".join(f"{kind} %a{index}" for index, kind in enumerate(arguments))


def _callable(
    returns: str, body: str, arguments: Sequence[str], features: tuple[str, ...]
) -> Callable[..., Any]:
    ir = f"define {returns} @code({_parameters(arguments)}) {{\n{body}}}\n"
    engine = _loaded(ir, features)
    types = [_TYPES[kind] for kind in (returns, *arguments)]
    code = ctypes.CFUNCTYPE(*types)(engine.get_function_address("code"))
    # The engine owns the memory at the address.
    code.engine = engine  # type: ignore[attr-defined]
    return code


@functools.cache
def _loaded(ir: str, features: tuple[str, ...]) -> Any:
    """An LLVM engine with the machine code in memory."""
    if platform.machine() not in ("x86_64", "AMD64"):
        raise AssemblyError(
            f"this machine is {platform.machine()}: x86-64 code can neither be assembled nor run "
            "here. Use an x86-64 machine."
        )
    require_executable_memory()
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.initialize_native_asmparser()
    try:
        module = llvm.parse_assembly(ir)
        module.triple = _TRIPLE
        # Plain x86-64, so that LLVM adds no instruction that the CPU may lack.
        machine = llvm.Target.from_triple(_TRIPLE).create_target_machine(
            cpu="x86-64", features=",".join(f"+{feature}" for feature in features), opt=2
        )
        engine = llvm.create_mcjit_compiler(module, machine)
        engine.finalize_object()
    except RuntimeError as error:
        raise AssemblyError(f"the assembled code could not be loaded: {error}") from error
    return engine
