"""The eight tile registers of the calling thread: load them, and compare what they hold.

Tiles belong to the thread. They stay as they are between two calls, whatever Python and the kernel
do in between; the state checks rely on that.
"""

from __future__ import annotations

__all__ = ["TILE_FILE_BYTES", "SignalHandler", "TileFile"]

import ctypes
import os
from collections.abc import Collection, Sequence
from typing import Any

from amx_suite.tmul.config import MAX_ROW_BYTES, MAX_ROWS, TILE_BYTES, TILES, tile_config
from amx_suite.tmul.jit import assemble

#: Bytes of all eight registers.
TILE_FILE_BYTES = TILES * TILE_BYTES

_TILE_NAMES = tuple(f"tmm{tile}" for tile in range(TILES))
_FULL = ((MAX_ROWS, MAX_ROW_BYTES),) * TILES
#: The content of the memory around the rows of a store.
_UNTOUCHED = b"\xa5" * TILE_FILE_BYTES

_SA_ONSTACK = 0x08000000
#: sigset_t of glibc: 1024 signals.
_SIGNAL_SET_BYTES = 128


class TileFile:
    """All eight registers, each with its (rows, bytes in a row); by default 16 rows of 64 bytes.

    In memory tiles lie TILE_BYTES apart and rows MAX_ROW_BYTES, whatever the shapes. Without the
    tile permission every method ends the process by SIGILL.
    """

    def __init__(self, shapes: Sequence[tuple[int, int]] = _FULL) -> None:
        loads = (f"tileloadd tmm{t}, [$1 + $2*1 + {t * TILE_BYTES}]" for t in range(TILES))
        stores = (f"tilestored [$1 + $2*1 + {t * TILE_BYTES}], tmm{t}" for t in range(TILES))
        arguments = ("ptr", "ptr", "i64")
        self._shapes = shapes
        self._config = tile_config(shapes)
        self._load = assemble(("ldtilecfg [$0]", *loads), arguments, _TILE_NAMES)
        self._store = assemble(("sttilecfg [$0]", *stores), arguments)

    def hold(self, data: bytes) -> None:
        """Configure the tiles and load them with ``data``, TILE_FILE_BYTES long."""
        self._load(self._config, data, MAX_ROW_BYTES)

    def zero(self, tiles: Collection[int]) -> None:
        """Zero these registers by TILEZERO; the tiles must be configured."""
        names = [_TILE_NAMES[tile] for tile in tiles]
        assemble([f"tilezero {name}" for name in names], clobbers=names)()

    def holds(self, data: bytes, zeroed: Collection[int] = ()) -> bool:
        """Whether the tiles and their configuration are those of ``hold(data)`` and ``zero``.

        A store that writes beyond its rows counts as a difference. The tiles must be configured.
        """
        config = ctypes.create_string_buffer(len(self._config))
        found = ctypes.create_string_buffer(_UNTOUCHED, TILE_FILE_BYTES)
        self._store(config, found, MAX_ROW_BYTES)
        due = bytearray(_UNTOUCHED)
        for tile, (rows, row_bytes) in enumerate(self._shapes):
            for row in range(rows):
                start = tile * TILE_BYTES + row * MAX_ROW_BYTES
                place = slice(start, start + row_bytes)
                due[place] = bytes(row_bytes) if tile in zeroed else data[place]
        return config.raw == self._config and found.raw == due


class _SignalAction(ctypes.Structure):
    """struct sigaction of glibc on x86-64."""

    _fields_ = (
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_char * _SIGNAL_SET_BYTES),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


class SignalHandler:
    """A signal handler in machine code that overwrites every tile and counts its calls."""

    def __init__(self, tiles: bytes) -> None:
        self._count = ctypes.c_int64(0)
        self._config = ctypes.create_string_buffer(tile_config(_FULL), 64)
        self._tiles = ctypes.create_string_buffer(tiles, TILE_FILE_BYTES)
        # A signal handler gets no argument of ours, so the addresses are part of its code.
        self._code = assemble(
            (
                f"movabs rax, {ctypes.addressof(self._config)}",
                "ldtilecfg [rax]",
                f"movabs rax, {ctypes.addressof(self._tiles)}",
                f"mov ecx, {MAX_ROW_BYTES}",
                *(f"tileloadd tmm{t}, [rax + rcx*1 + {t * TILE_BYTES}]" for t in range(TILES)),
                f"movabs rax, {ctypes.addressof(self._count)}",
                "add qword ptr [rax], 1",
            ),
            clobbers=("rax", "rcx", *_TILE_NAMES),
        )

    def install(self, signal_number: int, *, on_stack: bool) -> None:
        """Handle this signal, on the alternate stack if asked; raises OSError."""
        code: Any = self._code
        address = ctypes.cast(code, ctypes.c_void_p).value
        action = _SignalAction(address, b"", _SA_ONSTACK if on_stack else 0, None)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.sigaction(signal_number, ctypes.byref(action), None) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number))

    @property
    def calls(self) -> int:
        """How often the handler has run to its end."""
        return self._count.value
