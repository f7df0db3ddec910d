"""Loops that keep one unit of a core busy: the tile unit, the FMA units, memory reads.

Each runs at least one pass, drops its results and says how long that took. An instruction that the
CPU lacks or the kernel refuses ends the process by SIGILL.

The time is that of the time-stamp counter, read next to the loop: reading a clock in Python takes
some microseconds more, and among many threads milliseconds, because a thread must wait for Python's
lock first (docs/measured.md).
"""

from __future__ import annotations

__all__ = [
    "AVX2",
    "AVX512",
    "Vectors",
    "chain_loop",
    "fma_loop",
    "stream_bytes",
    "stream_loop",
    "throughput_loop",
]

import functools
import threading
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from amx_suite.tmul.config import MAX_ROW_BYTES, MAX_ROWS, TILE_BYTES, TILES, tile_config
from amx_suite.tmul.instructions import TileInstruction
from amx_suite.tmul.jit import assemble_timed
from amx_suite.tmul.probe import Loop

#: Additions in one pass of ``chain_loop``; the loop's own two instructions run in parallel.
_ADDS = 64
#: ``stream_loop`` reads a buffer of its own: larger than a core's share of any last-level cache,
#: and small beside the memory of an arm. All together are bounded. On 224 CPUs 9 MiB are left for
#: each, more than a core's second-level cache and share of the last one (2 and 4 MB on Granite
#: Rapids).
_STREAM_BYTES, _ALL_STREAM_BYTES = 64 << 20, 2 << 30
_STREAM_LOADS = 8
#: Long beside what Python adds to it, and short enough to be undisturbed in one of the tries.
_COUNTER_SECONDS, _COUNTER_TRIES = 0.005, 10
_ALONE = threading.Lock()


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
    multiply = assemble_timed(instructions, ("ptr", "ptr", "i64"), clobbers)
    config = tile_config([(MAX_ROWS, MAX_ROW_BYTES)] * TILES)
    operands = bytes(4 * TILE_BYTES)
    work = len(dots) * instruction.operations(MAX_ROWS, MAX_ROW_BYTES, MAX_ROW_BYTES)
    return Loop(_in_seconds(lambda passes: multiply(config, operands, passes)), work)


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
    run = assemble_timed(instructions, ("i64",), ("rax", *sums, *factors), vectors.flags)
    return Loop(_in_seconds(run), 2 * vectors.sums * (vectors.register_bytes // 4))


def chain_loop() -> Loop:
    """Additions, each of which waits for the one before it.

    An addition of two registers takes one cycle on every x86-64 core, so this loop counts cycles.
    """
    return Loop(_in_seconds(_chain()), _ADDS)


def _chain() -> Callable[[int], int]:
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
    return assemble_timed(instructions, ("i64",), ("rax", "rcx", "rdx"), ())


def _in_seconds(run: Callable[[int], int]) -> Callable[[int], float]:
    """The loop with its time in seconds instead of ticks."""
    # Loops are made on many threads at once, and among them Python's clock would be read too late.
    with _ALONE:
        seconds_per_tick = _seconds_per_tick()
    return lambda passes: run(passes) * seconds_per_tick


@functools.cache
def _seconds_per_tick() -> float:
    """Of the time-stamp counter, by the monotonic clock: the least of several tries.

    Every CPU with AVX2 has a counter of constant rate (Intel SDM volume 3, "Invariant TSC"). If a
    guest is moved to a host with another, only frequencies and rates per second become wrong: a
    rate per cycle is a ratio of two times that are read within a millisecond.
    """
    run = _chain()
    passes, seconds = 1, 0.0
    while seconds < _COUNTER_SECONDS:
        passes *= 2
        seconds, _ = _both_times(run, passes)
    tries = (_both_times(run, passes) for _ in range(_COUNTER_TRIES))
    return min(seconds / ticks for seconds, ticks in tries)


def _both_times(run: Callable[[int], int], passes: int) -> tuple[float, int]:
    """Seconds by the monotonic clock, and ticks within them."""
    start = time.perf_counter()
    ticks = run(passes)
    return time.perf_counter() - start, ticks


def stream_bytes(loops: int) -> int:
    """The size of the buffer of each of so many ``stream_loop``."""
    block = _STREAM_LOADS * AVX512.register_bytes
    return min(_STREAM_BYTES, _ALL_STREAM_BYTES // loops // block * block)


def stream_loop(vectors: Vectors, size: int) -> Loop:
    """Reads from memory: ``size`` bytes (``stream_bytes``) from beginning to end in each pass."""
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
    read = assemble_timed(instructions, ("ptr", "i64"), ("rax", "rcx", *targets), vectors.flags)
    # Written to: untouched pages would all be one page of zeros, which is in the first cache.
    buffer = np.ones(size, np.uint8)
    blocks = size // (_STREAM_LOADS * vectors.register_bytes)

    def run(passes: int) -> int:
        return sum(read(buffer.ctypes.data, blocks) for _ in range(passes))

    return Loop(_in_seconds(run), size)
