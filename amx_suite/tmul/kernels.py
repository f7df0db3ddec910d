"""Tile kernels in machine code: what checks of the instructions run.

Nothing is assembled before a kernel is asked for, and each text is assembled once. A kernel is one
block of assembly from LDTILECFG to TILERELEASE, because LLVM cannot keep tile registers alive from
one block to the next. Running one where AMX is missing or not permitted ends the process by SIGILL.

Strides and steps are in bytes, of any size and sign; no address needs to be aligned.
"""

from __future__ import annotations

__all__ = [
    "DEFAULT_REGISTERS",
    "Registers",
    "TileArguments",
    "chain_kernel",
    "dot_kernel",
    "kernel_function",
    "tile_arguments",
    "tile_copy",
]

import ctypes
from collections.abc import Callable, Collection, Sequence
from typing import Any, TypeAlias

import numpy as np

from amx_suite.tmul.config import TILE_BYTES, TILES, UNUSED_TILE, tile_config
from amx_suite.tmul.instructions import TileInstruction
from amx_suite.tmul.jit import TILE_FEATURES, asm_function, load
from amx_suite.tmul.oracle import ByteTiles, WordTiles

#: Numbers of the tile registers that hold C, A and B: three different ones.
Registers: TypeAlias = tuple[int, int, int]
DEFAULT_REGISTERS: Registers = (0, 1, 2)

#: Its number among the system calls of x86-64.
_SCHED_YIELD = 24


class TileArguments(ctypes.Structure):
    """What ``dot_kernel`` and ``chain_kernel`` read: addresses, then bytes.

    ``config`` is the address of a tile configuration. A stride leads from one row of a tile to the
    next, a step from one tile to the next.
    """

    _fields_ = tuple(
        (name, ctypes.c_int64)
        for name in (
            *("config", "count"),
            *("a", "b", "c", "out"),
            *("a_stride", "b_stride", "c_stride", "out_stride"),
            *("a_step", "b_step", "c_step", "out_step"),
        )
    )

    #: What the addresses lead to.
    memory: tuple[object, ...] = ()


def tile_arguments(
    a: ByteTiles,
    b: ByteTiles,
    c: WordTiles,
    out: WordTiles,
    registers: Registers = DEFAULT_REGISTERS,
) -> TileArguments:
    """Arguments for tiles that lie in numpy arrays, with ``registers`` configured for their shapes.

    A [count, rows, k_bytes] and B [count, k_bytes / 4, n_bytes] as for ``oracle``, C and ``out``
    [count, rows, n_bytes / 4] or, for a chain, [rows, n_bytes / 4]. Rows and tiles may lie anywhere
    (views), one row's elements side by side. The arrays live as long as the arguments do. Raises
    ValueError for shapes that do not fit together or that no tile has.
    """
    rows, words = c.shape[-2:]
    k_bytes = a.shape[-1]
    expected = ((len(a), rows, k_bytes), (len(a), k_bytes // 4, 4 * words), c.shape)
    if (a.shape, b.shape, out.shape) != expected or c.shape[:-2] not in ((), (len(a),)):
        shapes = ", ".join(str(array.shape) for array in (a, b, c, out))
        raise ValueError(f"A, B, C and out of shapes {shapes} do not multiply")
    if any(array.strides[-1] != array.itemsize for array in (a, b, c, out)):
        raise ValueError("the elements of a row must lie side by side")
    configured = [UNUSED_TILE] * (max(registers) + 1)
    sizes = ((rows, 4 * words), (rows, k_bytes), (k_bytes // 4, 4 * words))
    for register, size in zip(registers, sizes, strict=True):
        configured[register] = size
    config = np.frombuffer(tile_config(configured), np.uint8)
    values = {"config": config.ctypes.data, "count": len(a)}
    for name, array in (("a", a), ("b", b), ("c", c), ("out", out)):
        values[name] = array.ctypes.data
        values[f"{name}_stride"] = array.strides[-2]
        values[f"{name}_step"] = array.strides[0] if array.ndim == 3 else 0
    arguments = TileArguments(**values)
    arguments.memory = (config, a, b, c, out)
    return arguments


def kernel_function(
    name: str,
    instructions: Sequence[str],
    arguments: Sequence[str],
    clobbers: Sequence[str],
    features: tuple[str, ...] = TILE_FEATURES,
) -> Callable[..., None]:
    """The instructions as a callable; see ``jit.asm_function`` for the arguments."""
    types: dict[str, Any] = {"ptr": ctypes.c_void_p, "i64": ctypes.c_int64}
    ir = asm_function(name, instructions, arguments, clobbers)
    return load(ir, features=features).function(name, *[types[each] for each in arguments])


#: Where a kernel keeps the fields of TileArguments that it uses all the time.
_REGISTERS = {
    "count": "r12",
    "a": "rax",
    "b": "rcx",
    "c": "rdx",
    "out": "rbx",
    "a_stride": "r8",
    "b_stride": "r9",
    "c_stride": "r10",
    "out_stride": "r11",
}


def _field(name: str) -> str:
    return f"[$0 + {getattr(TileArguments, name).offset}]"


def _rows(tile: str) -> str:
    return f"[{_REGISTERS[tile]} + {_REGISTERS[f'{tile}_stride']}*1]"


def _next(*tiles: str) -> tuple[str, ...]:
    return tuple(f"add {_REGISTERS[tile]}, {_field(f'{tile}_step')}" for tile in tiles)


def _counted(
    name: str, each: Sequence[str], before: Sequence[str] = (), after: Sequence[str] = ()
) -> Callable[[TileArguments], None]:
    """A kernel on TileArguments that repeats ``each`` ``count`` times."""
    count = _REGISTERS["count"]
    run = kernel_function(
        name,
        (
            f"mov rax, {_field('config')}",
            "ldtilecfg [rax]",
            *(f"mov {register}, {_field(field)}" for field, register in _REGISTERS.items()),
            *before,
            f"test {count}, {count}",
            # Labels 0 and 1 would be binary numbers in Intel syntax.
            "jle 3f",
            "2:",
            *each,
            f"dec {count}",
            "jnz 2b",
            "3:",
            *after,
            "tilerelease",
        ),
        ("ptr",),
        (*_REGISTERS.values(), *(f"tmm{tile}" for tile in range(TILES))),
    )
    return lambda arguments: run(ctypes.byref(arguments))


def dot_kernel(
    instruction: TileInstruction,
    *,
    load_hint: bool = False,
    registers: Registers = DEFAULT_REGISTERS,
) -> Callable[[TileArguments], None]:
    """For each of ``count`` tiles: out = C + A x B, by one execution of the instruction.

    With ``load_hint`` tiles are loaded by TILELOADDT1, which reads the same and hints that the data
    will not be used again soon, instead of TILELOADD.
    """
    tile_load = "tileloaddt1" if load_hint else "tileloadd"
    c, a, b = (f"tmm{register}" for register in registers)
    each = (
        f"{tile_load} {c}, {_rows('c')}",
        f"{tile_load} {a}, {_rows('a')}",
        f"{tile_load} {b}, {_rows('b')}",
        f"{instruction.mnemonic} {c}, {a}, {b}",
        f"tilestored {_rows('out')}, {c}",
        *_next("a", "b", "c", "out"),
    )
    return _counted(f"dot_{tile_load}_{instruction.mnemonic}", each)


def chain_kernel(
    instruction: TileInstruction, registers: Registers = DEFAULT_REGISTERS
) -> Callable[[TileArguments], None]:
    """Out = C + the sum of ``count`` products A x B, one after the other in one tile register.

    There is one C and one out: their steps are not used.
    """
    c, a, b = (f"tmm{register}" for register in registers)
    each = (
        f"tileloadd {a}, {_rows('a')}",
        f"tileloadd {b}, {_rows('b')}",
        f"{instruction.mnemonic} {c}, {a}, {b}",
        *_next("a", "b"),
    )
    return _counted(
        f"chain_{instruction.mnemonic}",
        each,
        before=(f"tileloadd {c}, {_rows('c')}",),
        after=(f"tilestored {_rows('out')}, {c}",),
    )


def tile_copy(
    registers: Sequence[int], *, zeroed: Collection[int] = (), yields: int = 0
) -> Callable[..., None]:
    """Copies tiles, each through one of the registers: all are loaded before the first is stored.

    Those ``zeroed`` are zeroed by TILEZERO in between, and the CPU is given up ``yields`` times
    (sched_yield). Arguments: configuration, source, target, stride of the source, stride of the
    target. Each tile lies ``TILE_BYTES`` behind the one before it.
    """
    places = [(f"tmm{register}", n * TILE_BYTES) for n, register in enumerate(registers)]
    instructions = (
        "ldtilecfg [$0]",
        *(f"tileloadd {tile}, [$1 + $3*1 + {place}]" for tile, place in places),
        *(f"tilezero tmm{register}" for register in zeroed),
        *(f"mov eax, {_SCHED_YIELD}", "syscall") * yields,
        *(f"tilestored [$2 + $4*1 + {place}], {tile}" for tile, place in places),
        "tilerelease",
    )
    arguments = ("ptr", "ptr", "ptr", "i64", "i64")
    # A system call returns in rax, and itself overwrites rcx and r11.
    clobbers = (*(tile for tile, _ in places), "rax", "rcx", "r11")
    return kernel_function("copy", instructions, arguments, clobbers)
