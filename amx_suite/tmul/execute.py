"""Run a batch of tile multiplications on this CPU's tile registers.

Without the tile permission this ends the process by SIGILL.
"""

from __future__ import annotations

__all__ = ["TileRun"]

import ctypes
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from amx_suite.tmul.batch import TileBatch
from amx_suite.tmul.config import TILES, tile_config
from amx_suite.tmul.fills import Operands
from amx_suite.tmul.instructions import WordTiles
from amx_suite.tmul.jit import assemble

_CACHE_LINE = 64
#: The content of the memory around the rows.
_UNTOUCHED = 0xA5
#: A tile that is configured only because a later one is used: the smallest.
_UNUSED_TILE = (1, 4)


class TileRun:
    """A batch laid out in memory, ready to run as often as wanted.

    ``steps`` are the operands of each step; only the first C is used.
    """

    def __init__(self, batch: TileBatch, steps: Sequence[Operands]) -> None:
        # The steps of one tile lie one after the other.
        a, b = (
            _Scattered(batch, np.stack(each, axis=1).reshape(-1, *each[0].shape[1:]))
            for each in ([step.a for step in steps], [step.b for step in steps])
        )
        c = _Scattered(batch, steps[0].c)
        self._out = _Scattered(batch, np.zeros_like(steps[0].c))
        config = [_UNUSED_TILE] * TILES
        sizes = (
            (batch.rows, batch.n_bytes),
            (batch.rows, batch.k_bytes),
            (batch.k_bytes // 4, batch.n_bytes),
        )
        for register, size in zip(batch.registers, sizes, strict=True):
            config[register] = size
        self._config = ctypes.create_string_buffer(tile_config(config), 64)
        self._operands = {"a": a, "b": b, "c": c, "out": self._out}
        arguments = {
            "config": ctypes.addressof(self._config),
            "tiles": batch.tiles,
            "steps": batch.steps,
            "mxcsr": batch.mxcsr or 0,
        }
        for name, tiles in self._operands.items():
            arguments[name] = tiles.view.ctypes.data
            arguments[f"{name}_step"], arguments[f"{name}_stride"], _ = tiles.view.strides
        self._arguments = np.array([arguments.get(name, 0) for name in _ARGUMENTS], np.int64)
        self._kernel = _kernel(batch)

    def __call__(self) -> None:
        """Run the whole batch once, from the first C."""
        self._kernel(self._arguments.ctypes.data)

    def result(self) -> tuple[WordTiles, int]:
        """C after all steps, as bits [tiles, rows, n_bytes / 4], and stray bytes of the stores."""
        return self._out.view.copy(), self._out.stray_bytes()


class _Scattered:
    """Tiles in memory with the batch's padding after each row and its misalignment.

    ``view`` has the shape and the content of ``tiles``.
    """

    def __init__(self, batch: TileBatch, tiles: npt.NDArray[Any]) -> None:
        stride = tiles.shape[-1] * tiles.itemsize + batch.padding
        step = tiles.shape[-2] * stride
        self._memory = np.full(2 * _CACHE_LINE + len(tiles) * step, _UNTOUCHED, np.uint8)
        start = -self._memory.ctypes.data % _CACHE_LINE + batch.misalignment % _CACHE_LINE
        strides = (step, stride, tiles.itemsize)
        self.view: npt.NDArray[Any] = np.ndarray(
            tiles.shape, tiles.dtype, self._memory, start, strides
        )
        self.view[:] = tiles

    def stray_bytes(self) -> int:
        """Bytes outside the rows that were overwritten. The rows are lost."""
        self.view[:] = np.full(self.view.itemsize, _UNTOUCHED, np.uint8).view(self.view.dtype)[0]
        return int(np.count_nonzero(self._memory != _UNTOUCHED))


#: What the kernel reads, 8 bytes each: the address of a configuration, counts, MXCSR and a place to
#: keep it, then addresses and bytes. A stride leads from one row of a tile to the next, a step from
#: one tile to the next.
_ARGUMENTS = (
    *("config", "tiles", "steps", "mxcsr", "mxcsr_before"),
    *("a", "b", "c", "out"),
    *("a_stride", "b_stride", "c_stride", "out_stride"),
    *("a_step", "b_step", "c_step", "out_step"),
)

#: Where the kernel keeps the arguments that it uses all the time.
_REGISTERS = {
    "tiles": "r12",
    "a": "rax",
    "b": "rcx",
    "c": "rdx",
    "out": "rbx",
    "a_stride": "r8",
    "b_stride": "r9",
    "c_stride": "r10",
    "out_stride": "r11",
}
_STEPS_LEFT = "r13"


def _kernel(batch: TileBatch) -> Callable[..., None]:
    """For each tile: out = C + the sum of ``steps`` products A x B. Argument: ``_ARGUMENTS``.

    It is one block of assembly from LDTILECFG to TILERELEASE, because LLVM cannot keep tile
    registers alive from one block to the next.
    """
    c, a, b = (f"tmm{register}" for register in batch.registers)
    set_mxcsr: tuple[str, ...] = ()
    reset_mxcsr: tuple[str, ...] = ()
    if batch.mxcsr is not None:
        set_mxcsr = (f"stmxcsr {_field('mxcsr_before')}", f"ldmxcsr {_field('mxcsr')}")
        reset_mxcsr = (f"ldmxcsr {_field('mxcsr_before')}",)
    return assemble(
        (
            *set_mxcsr,
            f"mov rax, {_field('config')}",
            "ldtilecfg [rax]",
            *(f"mov {register}, {_field(field)}" for field, register in _REGISTERS.items()),
            # Labels 0 and 1 would be binary numbers in Intel syntax.
            "2:",
            f"{batch.load} {c}, {_rows('c')}",
            f"mov {_STEPS_LEFT}, {_field('steps')}",
            "3:",
            f"{batch.load} {a}, {_rows('a')}",
            f"{batch.load} {b}, {_rows('b')}",
            f"{batch.instruction} {c}, {a}, {b}",
            _next("a"),
            _next("b"),
            f"dec {_STEPS_LEFT}",
            "jnz 3b",
            f"tilestored {_rows('out')}, {c}",
            _next("c"),
            _next("out"),
            f"dec {_REGISTERS['tiles']}",
            "jnz 2b",
            "tilerelease",
            *reset_mxcsr,
        ),
        ("ptr",),
        (*_REGISTERS.values(), _STEPS_LEFT, *(f"tmm{tile}" for tile in range(TILES))),
    )


def _field(name: str) -> str:
    return f"[$0 + {8 * _ARGUMENTS.index(name)}]"


def _rows(tile: str) -> str:
    return f"[{_REGISTERS[tile]} + {_REGISTERS[f'{tile}_stride']}*1]"


def _next(tile: str) -> str:
    return f"add {_REGISTERS[tile]}, {_field(f'{tile}_step')}"
