"""The eight tile registers of the calling thread: fill them, leave them filled, read them back.

Tiles belong to the thread and stay as they are between two calls, through whatever Python and the
kernel do meanwhile. That is what the state checks look at.
"""

from __future__ import annotations

__all__ = ["TILE_FILE_BYTES", "SignalHandler", "TileFile"]

import ctypes
from typing import Any

from amx_suite.tmul.config import MAX_ROW_BYTES, MAX_ROWS, TILE_BYTES, TILES, tile_config
from amx_suite.tmul.jit import Library, asm_function, load

#: Bytes of all eight registers.
TILE_FILE_BYTES = TILES * TILE_BYTES

_TILE_NAMES = tuple(f"tmm{tile}" for tile in range(TILES))

_REGISTERS = (
    asm_function(
        "hold",
        (
            "ldtilecfg [$0]",
            *(f"tileloadd tmm{t}, [$1 + $2*1 + {t * TILE_BYTES}]" for t in range(TILES)),
        ),
        arguments=("ptr", "ptr", "i64"),
        clobbers=_TILE_NAMES,
    )
    + asm_function(
        "reveal",
        tuple(f"tilestored [$0 + $1*1 + {t * TILE_BYTES}], tmm{t}" for t in range(TILES)),
        arguments=("ptr", "i64"),
    )
    + asm_function("store_config", ("sttilecfg [$0]",), arguments=("ptr",))
    + asm_function("release", ("tilerelease",), clobbers=_TILE_NAMES)
)


class TileFile:
    """All eight registers at their full size of 16 rows of 64 bytes.

    Every method ends the process by SIGILL without the tile permission. ``release`` puts registers
    and configuration into their initial state.
    """

    def __init__(self) -> None:
        library = load(_REGISTERS)
        pointer, integer = ctypes.c_void_p, ctypes.c_int64
        self._hold = library.function("hold", pointer, pointer, integer)
        self._reveal = library.function("reveal", pointer, integer)
        self._store_config = library.function("store_config", pointer)
        self.release = library.function("release")
        self._config = tile_config([(MAX_ROWS, MAX_ROW_BYTES)] * TILES)

    def hold(self, data: bytes) -> None:
        """Configure the tiles and load them with ``data``, TILE_FILE_BYTES long."""
        if len(data) != TILE_FILE_BYTES:
            raise ValueError(f"{len(data)} bytes for tiles that hold {TILE_FILE_BYTES}")
        self._hold(self._config, data, MAX_ROW_BYTES)

    def reveal(self) -> bytes:
        """What the tiles hold now; they must be configured."""
        found = ctypes.create_string_buffer(TILE_FILE_BYTES)
        self._reveal(found, MAX_ROW_BYTES)
        return found.raw

    def holds(self, data: bytes) -> bool:
        """Whether configuration and every byte of every tile are those of ``hold(data)``."""
        config = ctypes.create_string_buffer(len(self._config))
        self._store_config(config)
        return config.raw == self._config and self.reveal() == data


class SignalHandler:
    """A signal handler in machine code that overwrites every tile and counts its calls.

    ``address`` is what ``sigaction`` takes.
    """

    def __init__(self, tiles: bytes) -> None:
        self._count = ctypes.c_int64(0)
        self._config = ctypes.create_string_buffer(
            tile_config([(MAX_ROWS, MAX_ROW_BYTES)] * TILES), 64
        )
        self._tiles = ctypes.create_string_buffer(tiles, TILE_FILE_BYTES)
        # A handler gets no argument of ours, so that the addresses are part of its code.
        code = asm_function(
            "handler",
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
        self._library = Library(code, cpu="x86-64", features=("amx-tile",))
        function: Any = self._library.function("handler")
        self.address = ctypes.cast(function, ctypes.c_void_p).value or 0

    @property
    def calls(self) -> int:
        """How often the handler has run to its end."""
        return self._count.value
