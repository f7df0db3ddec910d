"""The eight tile registers of the calling thread: load them, copy through them, store them.

Tiles belong to the thread. They stay as they are between two calls, whatever Python and the kernel
do in between; the state checks rely on that.
"""

from __future__ import annotations

__all__ = ["TILE_FILE_BYTES", "SignalHandler", "TileFile", "tile_copy"]

import ctypes
import os
from collections.abc import Callable, Collection, Sequence
from typing import Any

from amx_suite.tmul.config import MAX_ROW_BYTES, MAX_ROWS, TILE_BYTES, TILES, tile_config
from amx_suite.tmul.jit import assemble

#: Bytes of all eight registers.
TILE_FILE_BYTES = TILES * TILE_BYTES

_TILE_NAMES = tuple(f"tmm{tile}" for tile in range(TILES))
_ALL_FULL = tile_config([(MAX_ROWS, MAX_ROW_BYTES)] * TILES)

#: Its number among the system calls of x86-64.
_SCHED_YIELD = 24
_SA_ONSTACK = 0x08000000
#: sigset_t of glibc: 1024 signals.
_SIGNAL_SET_BYTES = 128


class TileFile:
    """All eight registers at their full size of 16 rows of 64 bytes.

    Without the tile permission every method ends the process by SIGILL.
    """

    def __init__(self) -> None:
        loads = (f"tileloadd tmm{t}, [$1 + $2*1 + {t * TILE_BYTES}]" for t in range(TILES))
        stores = (f"tilestored [$1 + $2*1 + {t * TILE_BYTES}], tmm{t}" for t in range(TILES))
        arguments = ("ptr", "ptr", "i64")
        self._load = assemble(("ldtilecfg [$0]", *loads), arguments, _TILE_NAMES)
        self._store = assemble(("sttilecfg [$0]", *stores), arguments)

    def hold(self, data: bytes) -> None:
        """Configure the tiles and load them with ``data``, TILE_FILE_BYTES long."""
        self._load(_ALL_FULL, data, MAX_ROW_BYTES)

    def holds(self, data: bytes) -> bool:
        """Whether configuration and every byte of every tile are those of ``hold(data)``.

        The tiles must be configured.
        """
        config = ctypes.create_string_buffer(len(_ALL_FULL))
        found = ctypes.create_string_buffer(TILE_FILE_BYTES)
        self._store(config, found, MAX_ROW_BYTES)
        return config.raw == _ALL_FULL and found.raw == data


def tile_copy(
    registers: Sequence[int], *, zeroed: Collection[int] = (), yields: int = 0
) -> Callable[..., None]:
    """A function that copies one tile through each of the registers.

    It loads all before it stores the first. In between TILEZERO zeroes the registers ``zeroed``,
    and the thread gives up the CPU ``yields`` times (sched_yield). Arguments: configuration,
    source, target, stride of the source, stride of the target, in bytes. Tiles lie ``TILE_BYTES``
    apart.
    """
    places = [(f"tmm{register}", n * TILE_BYTES) for n, register in enumerate(registers)]
    instructions = (
        "ldtilecfg [$0]",
        *(f"tileloadd {tile}, [$1 + $3*1 + {place}]" for tile, place in places),
        *(f"tilezero tmm{register}" for register in zeroed),
        *(f"mov eax, {_SCHED_YIELD}", "syscall") * yields,
        *(f"tilestored [$2 + $4*1 + {place}], {tile}" for tile, place in places),
        "tilerelease",
    )
    # A system call returns in rax and overwrites rcx and r11.
    clobbers = (*(tile for tile, _ in places), "rax", "rcx", "r11")
    return assemble(instructions, ("ptr", "ptr", "ptr", "i64", "i64"), clobbers)


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
        self._config = ctypes.create_string_buffer(_ALL_FULL, len(_ALL_FULL))
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
