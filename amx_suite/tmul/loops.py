"""Loops that keep one unit of a core busy: the tile unit, the FMA units, the way to memory.

Each runs the iterations it is told, at least one, and drops its results. As with ``kernels``, an
instruction that the CPU lacks or the kernel refuses ends the process by SIGILL.
"""

from __future__ import annotations

__all__ = [
    "DOTS_PER_ITERATION",
    "FMA_OPERATIONS_PER_ITERATION",
    "STREAM_BLOCK_BYTES",
    "THROUGHPUT_OPERAND_BYTES",
    "fma_loop",
    "stream_loop",
    "throughput_loop",
]

from collections.abc import Callable

from amx_suite.tmul.config import MAX_ROW_BYTES, TILE_BYTES
from amx_suite.tmul.instructions import TileInstruction
from amx_suite.tmul.kernels import kernel_function

_ZMM_BYTES = 64
_AVX512 = ("avx512f",)

#: Executions of the instruction in one iteration of ``throughput_loop``, each on full tiles.
DOTS_PER_ITERATION = 4

#: What ``throughput_loop`` reads: two full tiles of A, then two of B.
THROUGHPUT_OPERAND_BYTES = 4 * TILE_BYTES

_FMA_REGISTERS = 16

#: Multiplications and additions of FP32 numbers in one iteration of ``fma_loop``.
FMA_OPERATIONS_PER_ITERATION = 2 * _FMA_REGISTERS * (_ZMM_BYTES // 4)

_STREAM_LOADS = 8

#: What ``stream_loop`` reads in one iteration.
STREAM_BLOCK_BYTES = _STREAM_LOADS * _ZMM_BYTES


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


def fma_loop() -> Callable[..., None]:
    """FP32 fused multiply-adds in AVX-512 registers, over and over, without memory.

    Sixteen registers are more than two units with a latency of four cycles need. Argument:
    iterations.
    """
    sums = tuple(f"zmm{each}" for each in range(_FMA_REGISTERS))
    instructions = (
        # Each sum grows by 1 until it stands still at 2**24: no denormal, no infinity.
        "mov eax, 0x3f800000",
        "vpbroadcastd zmm30, eax",
        "vpbroadcastd zmm31, eax",
        *(f"vpxord {each}, {each}, {each}" for each in sums),
        "mov rax, $0",
        ".p2align 5",
        "2:",
        *(f"vfmadd231ps {each}, zmm30, zmm31" for each in sums),
        "dec rax",
        "jnz 2b",
        "vzeroupper",
    )
    clobbers = ("rax", *sums, "zmm30", "zmm31")
    return kernel_function("fma_loop", instructions, ("i64",), clobbers, _AVX512)


def stream_loop() -> Callable[..., None]:
    """Reads memory from its beginning to its end by 64 bytes at a time.

    Arguments: address, blocks of ``STREAM_BLOCK_BYTES``.
    """
    targets = tuple(f"zmm{each}" for each in range(_STREAM_LOADS))
    instructions = (
        "mov rax, $0",
        "mov rcx, $1",
        ".p2align 5",
        "2:",
        *(
            f"vmovups {target}, zmmword ptr [rax + {index * _ZMM_BYTES}]"
            for index, target in enumerate(targets)
        ),
        f"add rax, {STREAM_BLOCK_BYTES}",
        "dec rcx",
        "jnz 2b",
        "vzeroupper",
    )
    return kernel_function(
        "stream_loop", instructions, ("ptr", "i64"), ("rax", "rcx", *targets), _AVX512
    )
