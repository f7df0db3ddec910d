"""Loops that keep one unit of a CPU busy, assembled at run time: tiles, AVX-512 FMA, memory."""

from __future__ import annotations

__all__ = ["fma_loop", "memory_loop", "tile_loop"]

import ctypes

from amx_suite.tmul.config import MAX_ROW_BYTES, MAX_ROWS, TILES, tile_config
from amx_suite.tmul.jit import asm_function, load
from amx_suite.tmul.probe import Loop

#: Enough chains to hide the latency of 4 cycles on two ports.
_FMA_CHAINS = 12
_FMA_OPERATIONS = 2 * 16 * _FMA_CHAINS

#: Four accumulators hide the latency of TDPBF16PS; the other tiles are its operands.
_TILE_PAIRS = ((0, 4, 6), (1, 4, 7), (2, 5, 6), (3, 5, 7))
_TILE_OPERATIONS = 2 * MAX_ROWS * MAX_ROWS * (MAX_ROW_BYTES // 2) * len(_TILE_PAIRS)

#: Read front to back by each CPU, so that what all of them read exceeds the last cache.
_MEMORY_BYTES = 64 << 20
_LINE_BYTES = 64
_LINES_AT_A_TIME = 4


def _counted(name: str, body: list[str]) -> list[str]:
    """The body, repeated as often as the second-to-last register says."""
    return [f".L{name}:", *body, "dec rax", f"jnz .L{name}"]


_FMA = asm_function(
    "fma",
    [
        "mov rax, $0",
        *(f"vpxord zmm{r}, zmm{r}, zmm{r}" for r in range(_FMA_CHAINS + 2)),
        *_counted(
            "fma",
            [
                f"vfmadd231ps zmm{r}, zmm{_FMA_CHAINS}, zmm{_FMA_CHAINS + 1}"
                for r in range(_FMA_CHAINS)
            ],
        ),
        "vzeroupper",
    ],
    arguments=("i64",),
    clobbers=("rax", *(f"xmm{r}" for r in range(_FMA_CHAINS + 2))),
)

_MEMORY = asm_function(
    "memory",
    [
        "mov rax, $2",
        ".Lpass:",
        "mov rcx, $0",
        ".Lline:",
        *(f"movups xmm0, [rcx + {_LINE_BYTES * line}]" for line in range(_LINES_AT_A_TIME)),
        f"add rcx, {_LINE_BYTES * _LINES_AT_A_TIME}",
        "cmp rcx, $1",
        "jb .Lline",
        "dec rax",
        "jnz .Lpass",
    ],
    arguments=("ptr", "ptr", "i64"),
    clobbers=("rax", "rcx", "xmm0"),
)

_TILE = asm_function(
    "tile",
    [
        "mov rax, $1",
        "ldtilecfg [$0]",
        *(f"tilezero tmm{tile}" for tile in range(TILES)),
        *_counted("tile", [f"tdpbf16ps tmm{c}, tmm{a}, tmm{b}" for c, a, b in _TILE_PAIRS]),
        "tilerelease",
    ],
    arguments=("ptr", "i64"),
    clobbers=("rax", *(f"tmm{tile}" for tile in range(TILES))),
)


def fma_loop() -> Loop:
    """AVX-512 FP32 fused multiply-add; needs avx512f."""
    code = load(_FMA, features=("avx512f",))
    return Loop(code.function("fma", ctypes.c_int64), _FMA_OPERATIONS)


def memory_loop() -> Loop:
    """A stream of reads over 64 MiB; one pass is the whole of it in sixteenths."""
    buffer = bytearray(_MEMORY_BYTES)
    start = ctypes.addressof((ctypes.c_char * len(buffer)).from_buffer(buffer))
    run = load(_MEMORY).function("memory", ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)

    def stream(passes: int) -> None:
        run(start, start + len(buffer), passes)

    return Loop(stream, _MEMORY_BYTES)


def tile_loop() -> Loop:
    """BF16 tile products; needs amx-tile, amx-bf16 and the kernel's permission."""
    config = ctypes.create_string_buffer(tile_config([(MAX_ROWS, MAX_ROW_BYTES)] * TILES), 64)
    run = load(_TILE).function("tile", ctypes.c_void_p, ctypes.c_int64)
    return Loop(lambda passes: run(config, passes), _TILE_OPERATIONS)
