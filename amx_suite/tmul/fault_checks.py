"""What must fault: illegal tile configurations, and instructions on tiles that do not fit.

Each check has a legal control that must return. The illegal code must be killed: by SIGSEGV where
the instruction raises #GP or a page fault, by SIGILL where it raises #UD. Sources: Intel SDM volume
2, LDTILECFG and the exception classes AMX-E1 to AMX-E4.
"""

from __future__ import annotations

__all__ = ["FAULT_CHECKS"]

import ctypes
import mmap
import signal
from collections.abc import Callable

from amx_suite.tmul.config import MAX_ROW_BYTES, MAX_ROWS, TILE_BYTES, TILES, tile_config
from amx_suite.tmul.jit import assemble
from amx_suite.tmul.state_checks import Check, require_tiles

#: Offsets in the 64 bytes of a configuration (SDM, LDTILECFG).
_PALETTE, _RESERVED, _ROW_BYTES_OF_0, _ROWS_OF_0 = 0, 2, 16, 48
_ROWS_OF_BEYOND = _ROWS_OF_0 + TILES
_FULL = (MAX_ROWS, MAX_ROW_BYTES)
_DOT = "tdpbf16ps tmm0, tmm1, tmm2"
#: A load without an index register, and a dot product whose operands are one tile: assemblers
#: refuse both.
_LOAD_WITHOUT_SIB = ".byte 0xc4, 0xe2, 0x7b, 0x4b, 0x07"
_DOT_SRC_IS_DST = ".byte 0xc4, 0xe2, 0x6a, 0x5c, 0xc0"
_DOT_SRCS_ARE_ONE = ".byte 0xc4, 0xe2, 0x6a, 0x5c, 0xc2"
_READABLE = ctypes.create_string_buffer(TILE_BYTES)


def _run(config: bytes, *instructions: str) -> None:
    require_tiles()
    clobbers = ("tmm0", "tmm1", "tmm2", "rdi", "rcx")
    assemble(("ldtilecfg [$0]", *instructions), ("ptr",), clobbers)(config)


def _bad_configuration(offset: int, value: int) -> Check:
    good = tile_config([_FULL] * TILES)
    bad = good[:offset] + bytes([value]) + good[offset + 1 :]
    return Check(lambda _: _run(bad), signal.SIGSEGV, lambda _: _run(good))


def _bad_instruction(good: str, bad: str) -> Check:
    """Either may read a whole tile at rdi."""
    config = tile_config([_FULL] * 3)
    address = f"movabs rdi, {ctypes.addressof(_READABLE)}"

    def run(instruction: str) -> Callable[[int], None]:
        return lambda _: _run(config, address, "xor ecx, ecx", instruction)

    return Check(run(bad), signal.SIGILL, run(good))


def _bad_shapes(*shapes: tuple[int, int]) -> Check:
    """A dot product C, A, B of tiles that do not fit together."""
    good, bad = tile_config([_FULL] * 3), tile_config(shapes)
    return Check(lambda _: _run(bad, _DOT), signal.SIGILL, lambda _: _run(good, _DOT))


def _load_across(protection: int) -> None:
    """Load a tile whose last row lies in a second page with that protection."""
    memory = mmap.mmap(-1, 2 * mmap.PAGESIZE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    second = ctypes.c_void_p(start + mmap.PAGESIZE)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(second, ctypes.c_size_t(mmap.PAGESIZE), protection) != 0:
        raise OSError(ctypes.get_errno(), "mprotect failed")
    first_row = start + mmap.PAGESIZE - (MAX_ROWS - 1) * MAX_ROW_BYTES
    _run(
        tile_config([_FULL]),
        f"movabs rdi, {first_row}",
        f"mov ecx, {MAX_ROW_BYTES}",
        "tileloadd tmm0, [rdi + rcx*1]",
    )


#: By name.
FAULT_CHECKS: dict[str, Check] = {
    "unknown-palette": _bad_configuration(_PALETTE, 2),
    "reserved-byte-set": _bad_configuration(_RESERVED, 1),
    "too-many-rows": _bad_configuration(_ROWS_OF_0, MAX_ROWS + 1),
    "row-too-long": _bad_configuration(_ROW_BYTES_OF_0, MAX_ROW_BYTES + 1),
    "rows-without-bytes": _bad_configuration(_ROW_BYTES_OF_0, 0),
    "bytes-without-rows": _bad_configuration(_ROWS_OF_0, 0),
    "ninth-tile": _bad_configuration(_ROWS_OF_BEYOND, 1),
    "tile-not-configured": _bad_instruction("tilezero tmm2", "tilezero tmm3"),
    "nothing-configured": Check(
        lambda _: _run(tile_config([_FULL]), "tilerelease", "tilezero tmm0"),
        signal.SIGILL,
        lambda _: _run(tile_config([_FULL]), "tilezero tmm0", "tilerelease"),
    ),
    "rows-of-c-and-a-differ": _bad_shapes((8, 64), (16, 64), (16, 64)),
    "columns-of-c-and-b-differ": _bad_shapes((16, 32), (16, 64), (16, 64)),
    "columns-of-a-and-rows-of-b-differ": _bad_shapes((16, 64), (16, 32), (16, 64)),
    "columns-no-multiple-of-4": _bad_shapes((16, 62), (16, 64), (16, 62)),
    "dot-onto-its-own-source": _bad_instruction(_DOT, _DOT_SRC_IS_DST),
    "dot-of-one-tile-twice": _bad_instruction(_DOT, _DOT_SRCS_ARE_ONE),
    "load-without-index": _bad_instruction("tileloadd tmm0, [rdi + rcx*1]", _LOAD_WITHOUT_SIB),
    "load-from-forbidden-page": Check(
        lambda _: _load_across(0), signal.SIGSEGV, lambda _: _load_across(mmap.PROT_READ)
    ),
}
