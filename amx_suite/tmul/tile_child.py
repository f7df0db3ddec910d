"""The child's side of ``tile_probe``: one real tile multiplication on a CPU, compared exactly.

Standard library and llvmlite only, so that it starts quickly.
"""

from __future__ import annotations

__all__ = [
    "ELEMENTS",
    "PAIRS",
    "TILE_MULTIPLY",
    "TileProbe",
    "expected_product",
    "make_multiply",
    "operands",
    "tile_bytes",
]

import ctypes
import math
import os
import struct
from collections.abc import Callable
from typing import Any, ClassVar

from amx_suite.child.channel import ArrayMap
from amx_suite.tmul.config import MAX_ROW_BYTES, MAX_ROWS, tile_config
from amx_suite.tmul.jit import asm_function, load
from amx_suite.tmul.tile_probe import TileResult, TileStatus, Tried, TryTile
from amx_suite.tmul.xcomp import XcompReply, errno_name, request_tiles

#: Rows of A and columns of B (and so of C), and pairs of BF16 along the summed dimension: the
#: largest tile of palette 1.
ELEMENTS = MAX_ROWS
PAIRS = MAX_ROW_BYTES // 4

#: C = A x B. Arguments: configuration, A, B, C, and the bytes between rows of all three.
TILE_MULTIPLY = asm_function(
    "tile_multiply",
    (
        "ldtilecfg [$0]",
        "tilezero tmm0",
        "tileloadd tmm1, [$1 + $4*1]",
        "tileloadd tmm2, [$2 + $4*1]",
        "tdpbf16ps tmm0, tmm1, tmm2",
        "tilestored [$3 + $4*1], tmm0",
        "tilerelease",
    ),
    arguments=("ptr", "ptr", "ptr", "ptr", "i64"),
    clobbers=("tmm0", "tmm1", "tmm2"),
)

_Matrix = list[list[int]]


def operands() -> tuple[_Matrix, _Matrix]:
    """A [16, 32] in -4..4 and B [32, 16] in -2..2: every partial sum is exact in BF16 and FP32."""
    # Mixed enough that no two rows or columns of the product are alike.
    a = [
        [(37 * m + 11 * k + m * k) % 31 % 9 - 4 for k in range(2 * PAIRS)] for m in range(ELEMENTS)
    ]
    b = [
        [(29 * k + 13 * n + k * n) % 31 % 5 - 2 for n in range(ELEMENTS)] for k in range(2 * PAIRS)
    ]
    return a, b


def expected_product() -> _Matrix:
    """A x B in integers, shape [16, 16]."""
    a, b = operands()
    columns = list(zip(*b, strict=True))
    return [
        [sum(x * y for x, y in zip(row, column, strict=True)) for column in columns] for row in a
    ]


def _bf16(value: int) -> bytes:
    # BF16 is the upper half of FP32; exact for integers this small.
    return struct.pack("<f", value)[2:]


def tile_bytes() -> tuple[bytes, bytes]:
    """A and B as the instruction reads them: 16 rows of 64 bytes each."""
    a, b = operands()
    a_bytes = b"".join(_bf16(value) for row in a for value in row)
    # B comes in pairs of rows: row p of the tile holds B[2p][n], B[2p+1][n] side by side.
    b_bytes = b"".join(
        _bf16(b[2 * pair][n]) + _bf16(b[2 * pair + 1][n])
        for pair in range(PAIRS)
        for n in range(ELEMENTS)
    )
    return a_bytes, b_bytes


def make_multiply() -> Callable[[], list[float]]:
    """The real thing: each call runs the tile instructions and returns C, row by row.

    Without tiles, or without the permission, calling it ends the process by SIGILL.
    """
    routine = load(TILE_MULTIPLY).function("tile_multiply", *[ctypes.c_void_p] * 4, ctypes.c_int64)
    config = ctypes.create_string_buffer(tile_config([(MAX_ROWS, MAX_ROW_BYTES)] * 3), 64)
    a, b = (ctypes.create_string_buffer(data, len(data)) for data in tile_bytes())
    c = (ctypes.c_float * (ELEMENTS * ELEMENTS))()

    def multiply() -> list[float]:
        # NaN is never the answer, so an element that is not written is seen.
        c[:] = [math.nan] * len(c)
        routine(config, a, b, c, MAX_ROW_BYTES)
        return list(c)

    return multiply


def _move_to(cpu: int) -> None:
    os.sched_setaffinity(0, {cpu})


class TileProbe:
    """Handles ``TryTile``. The permission is asked for once, with the first CPU."""

    requests: ClassVar[Any] = TryTile

    def __init__(
        self,
        multiply: Callable[[], list[float]] | None = None,
        request: Callable[[], XcompReply] = request_tiles,
        move_to: Callable[[int], None] = _move_to,
    ) -> None:
        self._multiply = multiply or make_multiply()
        self._move_to = move_to
        self._request = request
        self._permission: XcompReply | None = None
        self._expected = [float(value) for row in expected_product() for value in row]

    def handle(self, request: TryTile, arrays: ArrayMap) -> tuple[Tried, ArrayMap]:
        """Where tiles do not work, the process dies of it."""
        return Tried(self._try(request.cpu)), {}

    def _try(self, cpu: int) -> TileResult:
        self._permission = self._permission or self._request()
        if self._permission.value is None:
            return TileResult(cpu, TileStatus.REFUSED, errno_name(self._permission.errno))
        try:
            self._move_to(cpu)
        except OSError as error:
            return TileResult(cpu, TileStatus.UNPINNED, errno_name(error.errno or 0))
        found = self._multiply()
        both = zip(found, self._expected, strict=True)
        wrong = [index for index, (x, y) in enumerate(both) if x != y]
        if not wrong:
            return TileResult(cpu, TileStatus.OK)
        row, column = divmod(wrong[0], ELEMENTS)
        return TileResult(
            cpu,
            TileStatus.WRONG,
            f"{len(wrong)} of {len(found)} elements: C[{row}][{column}] is {found[wrong[0]]}, "
            f"expected {self._expected[wrong[0]]}",
        )
