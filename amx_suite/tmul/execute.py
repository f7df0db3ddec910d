"""Run a batch of tile multiplications on this CPU's tile registers.

Without the tile permission this ends the process by SIGILL.
"""

from __future__ import annotations

__all__ = ["TileRun", "execute"]

import ctypes
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from amx_suite.tmul.batch import Load, TileBatch
from amx_suite.tmul.fills import Operands
from amx_suite.tmul.instructions import INSTRUCTIONS
from amx_suite.tmul.jit import asm_function, load
from amx_suite.tmul.kernels import TileArguments, chain_kernel, dot_kernel, tile_arguments
from amx_suite.tmul.oracle import WordTiles

_CACHE_LINE = 64
#: What the memory around the rows holds.
_UNTOUCHED = 0xA5

_MXCSR = asm_function("load_mxcsr", ("ldmxcsr [$0]",), arguments=("ptr",)) + asm_function(
    "store_mxcsr", ("stmxcsr [$0]",), arguments=("ptr",)
)


class _Scattered:
    """Tiles in memory with the batch's padding after each row and its misalignment.

    ``view`` has the shape of ``tiles``, which are copied there.
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
        """Bytes outside the rows that are no longer what they were. The rows are lost."""
        self.view[:] = np.full(self.view.itemsize, _UNTOUCHED, np.uint8).view(self.view.dtype)[0]
        return int(np.count_nonzero(self._memory != _UNTOUCHED))


class TileRun:
    """A batch laid out in memory, ready to run as often as wanted.

    Raises ValueError for a chain with a load hint, which no kernel has.
    """

    def __init__(self, batch: TileBatch, steps: Sequence[Operands]) -> None:
        # The steps of one tile lie one after the other; those of C are its start alone.
        a, b = (
            _Scattered(batch, np.stack(each, axis=1).reshape(-1, *each[0].shape[1:])).view
            for each in ([step.a for step in steps], [step.b for step in steps])
        )
        c = _Scattered(batch, steps[0].c).view
        self._out = _Scattered(batch, np.zeros_like(steps[0].c))
        self._calls = list(_calls(batch, a, b, c, self._out.view))
        self._kernel = _kernel(batch)
        self._mxcsr = batch.mxcsr

    def __call__(self) -> None:
        """Run the whole batch once, from the first C."""
        with _mxcsr(self._mxcsr):
            for call in self._calls:
                self._kernel(call)

    def result(self) -> tuple[WordTiles, int]:
        """C after all steps, as bits [tiles, rows, n_bytes / 4], and stray bytes of the stores."""
        return self._out.view.copy(), self._out.stray_bytes()


def execute(batch: TileBatch, steps: Sequence[Operands]) -> tuple[WordTiles, int]:
    """Lay the batch out and run it once; see TileRun."""
    run = TileRun(batch, steps)
    run()
    return run.result()


def _kernel(batch: TileBatch) -> Callable[[TileArguments], None]:
    instruction, hint = INSTRUCTIONS[batch.instruction], batch.load is Load.TILELOADDT1
    if batch.steps == 1:
        return dot_kernel(instruction, load_hint=hint, registers=batch.registers)
    if hint:
        raise ValueError(f"a chain of {batch.steps} steps loads by {Load.TILELOADD} only")
    return chain_kernel(instruction, batch.registers)


def _calls(
    batch: TileBatch, a: npt.NDArray[Any], b: npt.NDArray[Any], c: WordTiles, out: WordTiles
) -> Iterator[TileArguments]:
    """Arguments of each call: one for all tiles, or one for each tile's chain."""
    if batch.steps == 1:
        yield tile_arguments(a, b, c, out, batch.registers)
        return
    for tile in range(batch.tiles):
        chain = slice(tile * batch.steps, (tile + 1) * batch.steps)
        yield tile_arguments(a[chain], b[chain], c[tile], out[tile], batch.registers)


@contextmanager
def _mxcsr(value: int | None) -> Iterator[None]:
    """Set this thread's MXCSR and put it back."""
    if value is None:
        yield
        return
    library = load(_MXCSR)
    put, get = (library.function(f"{verb}_mxcsr", ctypes.c_void_p) for verb in ("load", "store"))
    before, wanted = ctypes.c_uint32(), ctypes.c_uint32(value)
    get(ctypes.byref(before))
    put(ctypes.byref(wanted))
    try:
        yield
    finally:
        put(ctypes.byref(before))
