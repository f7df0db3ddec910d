"""Loops that keep one unit of a core busy: the tile unit, the FMA units, memory reads.

Each runs at least one pass and drops its results. An instruction that the CPU lacks or the kernel
refuses ends the process by SIGILL.
"""

from __future__ import annotations

__all__ = ["AVX2", "AVX512", "Vectors", "chain_loop", "fma_loop", "stream_loop", "throughput_loop"]

from typing import NamedTuple

import numpy as np

from amx_suite.tmul.config import MAX_ROW_BYTES, MAX_ROWS, TILE_BYTES, TILES, tile_config
from amx_suite.tmul.instructions import TileInstruction
from amx_suite.tmul.jit import assemble
from amx_suite.tmul.probe import Loop

#: Additions in one pass of ``chain_loop``; the loop's own two instructions run in parallel.
_ADDS = 64
#: ``stream_loop`` reads a buffer of its own: larger than a core's share of any last-level cache,
#: and small beside the memory of an arm.
_STREAM_BYTES = 64 << 20
_STREAM_LOADS = 8


class Vectors(NamedTuple):
    """One width of vector registers; ``flags`` are the features it needs, as LLVM names them.

    ``sums`` accumulators keep two FMA units with a latency of five cycles busy; the two registers
    of the highest numbers hold the factors.
    """

    register: str
    register_bytes: int
    registers: int
    sums: int
    flags: tuple[str, ...]


AVX512 = Vectors("zmm", 64, registers=32, sums=16, flags=("avx512f",))
AVX2 = Vectors("ymm", 32, registers=16, sums=12, flags=("avx2", "fma"))


def throughput_loop(instruction: TileInstruction) -> Loop:
    """Two full tiles of A times two of B into four accumulators, over and over.

    A result takes longer than the 16 cycles for which a dot product occupies the unit, so
    consecutive products must not need each other's results; more accumulators would leave too few
    of the eight tiles for A and B.
    """
    dots = tuple(
        f"{instruction.mnemonic} tmm{2 * a + b}, tmm{4 + a}, tmm{6 + b}"
        for a in range(2)
        for b in range(2)
    )
    instructions = (
        "ldtilecfg [$0]",
        f"mov ecx, {MAX_ROW_BYTES}",
        *(f"tilezero tmm{accumulator}" for accumulator in range(4)),
        *(f"tileloadd tmm{4 + n}, [$1 + rcx*1 + {n * TILE_BYTES}]" for n in range(4)),
        "mov rax, $2",
        ".p2align 5",
        "2:",
        *dots,
        "dec rax",
        "jnz 2b",
        "tilerelease",
    )
    clobbers = ("rax", "rcx", *(f"tmm{each}" for each in range(TILES)))
    multiply = assemble(instructions, ("ptr", "ptr", "i64"), clobbers)
    config = tile_config([(MAX_ROWS, MAX_ROW_BYTES)] * TILES)
    operands = bytes(4 * TILE_BYTES)
    work = len(dots) * instruction.operations(MAX_ROWS, MAX_ROW_BYTES, MAX_ROW_BYTES)
    return Loop(lambda passes: multiply(config, operands, passes), work)


def fma_loop(vectors: Vectors) -> Loop:
    """FP32 fused multiply-adds in vector registers, over and over, without memory."""
    kind = vectors.register
    sums = tuple(f"{kind}{each}" for each in range(vectors.sums))
    factors = tuple(f"{kind}{vectors.registers - each}" for each in (2, 1))
    instructions = (
        # Each sum grows by 1 and stops at 2**24: no denormal, no infinity.
        "mov eax, 0x3f800000",
        "vmovd xmm0, eax",
        *(f"vpbroadcastd {each}, xmm0" for each in factors),
        # Writing the low part clears the rest of the register.
        *(f"vpxor xmm{each}, xmm{each}, xmm{each}" for each in range(vectors.sums)),
        "mov rax, $0",
        ".p2align 5",
        "2:",
        *(f"vfmadd231ps {each}, {factors[0]}, {factors[1]}" for each in sums),
        "dec rax",
        "jnz 2b",
        "vzeroupper",
    )
    run = assemble(instructions, ("i64",), ("rax", *sums, *factors), vectors.flags)
    return Loop(run, 2 * vectors.sums * (vectors.register_bytes // 4))


def chain_loop() -> Loop:
    """Additions, each of which waits for the one before it.

    An addition of two registers takes one cycle on every x86-64 core, so this loop counts cycles.
    """
    instructions = (
        "mov rax, $0",
        "xor ecx, ecx",
        "mov edx, 1",
        ".p2align 5",
        "2:",
        # Of two registers, because a CPU may merge additions of constants.
        *("add rcx, rdx" for _ in range(_ADDS)),
        "dec rax",
        "jnz 2b",
    )
    return Loop(assemble(instructions, ("i64",), ("rax", "rcx", "rdx"), ()), _ADDS)


def stream_loop(vectors: Vectors) -> Loop:
    """Reads from memory, from beginning to end in each pass."""
    kind = vectors.register
    targets = tuple(f"{kind}{each}" for each in range(_STREAM_LOADS))
    instructions = (
        "mov rax, $0",
        "mov rcx, $1",
        ".p2align 5",
        "2:",
        *(
            f"vmovups {target}, {kind}word ptr [rax + {index * vectors.register_bytes}]"
            for index, target in enumerate(targets)
        ),
        f"add rax, {_STREAM_LOADS * vectors.register_bytes}",
        "dec rcx",
        "jnz 2b",
        "vzeroupper",
    )
    read = assemble(instructions, ("ptr", "i64"), ("rax", "rcx", *targets), vectors.flags)
    # Written to: untouched pages would all be one page of zeros, which is in the first cache.
    buffer = np.ones(_STREAM_BYTES, np.uint8)
    blocks = _STREAM_BYTES // (_STREAM_LOADS * vectors.register_bytes)

    def run(passes: int) -> None:
        for _ in range(passes):
            read(buffer.ctypes.data, blocks)

    return Loop(run, _STREAM_BYTES)
