"""Loops that keep one unit of a core busy: the tile unit, the FMA units, the way to memory.

The last two are written for either width of vectors. Each runs the iterations it is told, at least
one, and drops its results. As with ``kernels``, an instruction that the CPU lacks or the kernel
refuses ends the process by SIGILL.
"""

from __future__ import annotations

__all__ = [
    "ADDS_PER_ITERATION",
    "AVX2",
    "AVX512",
    "DOTS_PER_ITERATION",
    "THROUGHPUT_OPERAND_BYTES",
    "Vectors",
    "chain_loop",
    "fma_loop",
    "stream_loop",
    "throughput_loop",
]

from collections.abc import Callable
from typing import NamedTuple

from amx_suite.tmul.config import MAX_ROW_BYTES, TILE_BYTES
from amx_suite.tmul.instructions import TileInstruction
from amx_suite.tmul.kernels import kernel_function

#: Executions of the instruction in one iteration of ``throughput_loop``, each on full tiles.
DOTS_PER_ITERATION = 4

#: What ``throughput_loop`` reads: two full tiles of A, then two of B.
THROUGHPUT_OPERAND_BYTES = 4 * TILE_BYTES

#: Additions in one iteration of ``chain_loop``; the loop's own two instructions run beside them.
ADDS_PER_ITERATION = 64

_STREAM_LOADS = 8


class Vectors(NamedTuple):
    """One width of vector registers; ``flags`` are the features it needs, as LLVM names them.

    ``sums`` registers are more than two FMA units with a latency of five cycles need; the two of
    the highest numbers hold the factors.
    """

    register: str
    register_bytes: int
    registers: int
    sums: int
    flags: tuple[str, ...]

    @property
    def fma_operations(self) -> int:
        """Multiplications and additions of FP32 numbers in one iteration of ``fma_loop``."""
        return 2 * self.sums * (self.register_bytes // 4)

    @property
    def stream_bytes(self) -> int:
        """What ``stream_loop`` reads in one iteration."""
        return _STREAM_LOADS * self.register_bytes


AVX512 = Vectors("zmm", 64, registers=32, sums=16, flags=("avx512f",))
AVX2 = Vectors("ymm", 32, registers=16, sums=12, flags=("avx2", "fma"))


def throughput_loop(instruction: TileInstruction, *, loads: bool = False) -> Callable[..., None]:
    """Two tiles of A times two of B into four accumulators, over and over.

    A result takes longer than the 16 cycles for which a dot product occupies the unit, so products
    that follow each other must not need each other's results; more accumulators would leave too few
    of the eight tiles for A and B. With ``loads``, A and B are loaded anew in every iteration, as a
    matrix product would, but from memory that stays in the first-level cache.

    Arguments: configuration of eight full tiles, address of ``THROUGHPUT_OPERAND_BYTES``,
    iterations.
    """
    load_operands = tuple(
        f"tileloadd tmm{4 + index}, [$1 + rcx*1 + {index * TILE_BYTES}]" for index in range(4)
    )
    dots = tuple(
        f"{instruction.mnemonic} tmm{2 * a + b}, tmm{4 + a}, tmm{6 + b}"
        for a in range(2)
        for b in range(2)
    )
    instructions = (
        "ldtilecfg [$0]",
        f"mov ecx, {MAX_ROW_BYTES}",
        *(f"tilezero tmm{accumulator}" for accumulator in range(4)),
        *load_operands,
        "mov rax, $2",
        ".p2align 5",
        "2:",
        *(load_operands if loads else ()),
        *dots,
        "dec rax",
        "jnz 2b",
        "tilerelease",
    )
    name = f"throughput_{'loads_' if loads else ''}{instruction.mnemonic}"
    clobbers = ("rax", "rcx", *(f"tmm{each}" for each in range(8)))
    return kernel_function(name, instructions, ("ptr", "ptr", "i64"), clobbers)


def fma_loop(vectors: Vectors) -> Callable[..., None]:
    """FP32 fused multiply-adds in vector registers, over and over, without memory.

    Argument: iterations.
    """
    kind = vectors.register
    sums = tuple(f"{kind}{each}" for each in range(vectors.sums))
    factors = tuple(f"{kind}{vectors.registers - each}" for each in (2, 1))
    instructions = (
        # Each sum grows by 1 until it stands still at 2**24: no denormal, no infinity.
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
    clobbers = ("rax", *sums, *factors)
    return kernel_function(f"fma_loop_{kind}", instructions, ("i64",), clobbers, vectors.flags)


def chain_loop() -> Callable[..., None]:
    """``ADDS_PER_ITERATION`` additions in an iteration, each of which waits for the one before it.

    An addition of two registers takes one cycle on every x86-64 core, so this loop counts cycles.
    Argument: iterations.
    """
    instructions = (
        "mov rax, $0",
        "xor ecx, ecx",
        "mov edx, 1",
        ".p2align 5",
        "2:",
        # Of two registers: additions of constants may be merged before they are executed.
        *("add rcx, rdx" for _ in range(ADDS_PER_ITERATION)),
        "dec rax",
        "jnz 2b",
    )
    return kernel_function("chain_loop", instructions, ("i64",), ("rax", "rcx", "rdx"), ())


def stream_loop(vectors: Vectors) -> Callable[..., None]:
    """Reads memory from its beginning to its end, one register after the other.

    Arguments: address, blocks of ``vectors.stream_bytes``.
    """
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
        f"add rax, {vectors.stream_bytes}",
        "dec rcx",
        "jnz 2b",
        "vzeroupper",
    )
    clobbers = ("rax", "rcx", *targets)
    return kernel_function(
        f"stream_loop_{kind}", instructions, ("ptr", "i64"), clobbers, vectors.flags
    )
