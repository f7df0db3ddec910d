"""Child program: one real tile multiplication on each given CPU.

``python -m amx_suite.tmul.tile_child 0,1,2`` asks for the tile permission, then on each CPU in turn
configures the tiles, multiplies two BF16 tiles of small integers and compares every element with
the exact result. It prints one line before and one after each CPU, unbuffered, so that a CPU whose
tile instruction kills the process is known by the line that has no answer::

    refused EPERM            the kernel gave no permission; nothing was run
    unpinned 3 EINVAL        the process could not be moved to CPU 3
    try 3                    the next line tells how CPU 3 fared
    ok 3
    wrong 3 1 of 256 elements: C[0][1] is 5.0, expected 6.0
"""

from __future__ import annotations

__all__ = [
    "ELEMENTS",
    "PAIRS",
    "TILE_MULTIPLY",
    "expected_product",
    "main",
    "make_multiply",
    "operands",
    "tile_bytes",
    "try_cpus",
]

import ctypes
import faulthandler
import math
import os
import resource
import struct
import sys
from collections.abc import Callable, Sequence

from amx_suite.tmul.config import MAX_ROW_BYTES, MAX_ROWS, tile_config
from amx_suite.tmul.jit import asm_function, load
from amx_suite.tmul.kernel_calls import die_with_parent
from amx_suite.tmul.xcomp import errno_name, request_tiles

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


def _say(line: str) -> None:
    # Unbuffered: what comes next may kill this process.
    os.write(1, f"{line}\n".encode())


def _move_to(cpu: int) -> None:
    os.sched_setaffinity(0, {cpu})


def try_cpus(
    cpus: Sequence[int],
    multiply: Callable[[], list[float]],
    *,
    move_to: Callable[[int], None] = _move_to,
    say: Callable[[str], None] = _say,
) -> None:
    """Run ``multiply`` on each CPU and say how it went."""
    expected = [float(value) for row in expected_product() for value in row]
    for cpu in cpus:
        try:
            move_to(cpu)
        except OSError as error:
            say(f"unpinned {cpu} {errno_name(error.errno or 0)}")
            continue
        say(f"try {cpu}")
        found = multiply()
        wrong = [i for i, (x, y) in enumerate(zip(found, expected, strict=True)) if x != y]
        if wrong:
            row, column = divmod(wrong[0], ELEMENTS)
            say(
                f"wrong {cpu} {len(wrong)} of {len(expected)} elements: C[{row}][{column}] is "
                f"{found[wrong[0]]}, expected {expected[wrong[0]]}"
            )
        else:
            say(f"ok {cpu}")


def main(argv: list[str]) -> int:
    """Set this process up as a child, get the permission and try the listed CPUs."""
    die_with_parent()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    reply = request_tiles()
    if reply.value is None:
        _say(f"refused {errno_name(reply.errno)}")
        return 0
    # After the request: the signal stack that this sets up must not be what the kernel objects to.
    faulthandler.enable()
    try_cpus([int(field) for field in argv[1].split(",")], make_multiply())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
