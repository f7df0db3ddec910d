"""Tile multiplications of this CPU compared with the oracle, bit for bit.

Runs in a child process, which asks for the tile permission.
"""

from __future__ import annotations

__all__ = ["BatchCheck", "TileBench", "expected", "operands"]

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from amx_suite.child.channel import ArrayMap
from amx_suite.errors import NotApplicableError, UsageError
from amx_suite.tmul.batch import BatchResult, Mismatch, RunTiles, SoakSlice, TileBatch
from amx_suite.tmul.execute import TileRun
from amx_suite.tmul.fills import Operands, fill
from amx_suite.tmul.instructions import INSTRUCTIONS, WordTiles
from amx_suite.tmul.kernel_calls import current_cpu
from amx_suite.tmul.xcomp import errno_name, request_tiles


def operands(batch: TileBatch, stored: Mismatch | None = None) -> tuple[Operands, ...]:
    """The operands of each step: those that are stored, else always the same for the same batch.

    Raises KeyError for an unknown instruction, ValueError for a fill that does not suit it or for
    stored operands that do not fit the batch.
    """
    if stored is None:
        rng = np.random.default_rng(batch.seed)
        shape = (batch.tiles, batch.rows, batch.k_bytes, batch.n_bytes)
        instruction = INSTRUCTIONS[batch.instruction]
        return tuple(fill(batch.fill, instruction, rng, *shape) for _ in range(batch.steps))
    a = np.frombuffer(stored.a, np.uint8).reshape(batch.steps, 1, batch.rows, batch.k_bytes)
    b = np.frombuffer(stored.b, np.uint8).reshape(batch.steps, 1, batch.k_bytes // 4, batch.n_bytes)
    c = np.frombuffer(stored.c, np.uint32).reshape(1, batch.rows, batch.n_bytes // 4)
    return tuple(Operands(a[step], b[step], c) for step in range(batch.steps))


def expected(batch: TileBatch, steps: Sequence[Operands]) -> WordTiles:
    """What the oracle gives after all steps, as bits [tiles, rows, n_bytes / 4]."""
    c = steps[0].c
    for step in steps:
        c = INSTRUCTIONS[batch.instruction].oracle(step.a, step.b, c)
    return c


class TileBench:
    """Handles ``RunTiles``. Keeps the last batch, to repeat it quickly."""

    requests: ClassVar[Any] = RunTiles

    def __init__(self) -> None:
        self._check = functools.lru_cache(maxsize=1)(BatchCheck)

    def handle(self, request: RunTiles, arrays: ArrayMap) -> tuple[SoakSlice, ArrayMap]:
        """Run on the CPU that the child is bound to.

        Raises NotApplicableError if the kernel refuses the tile permission, UsageError for a batch
        that cannot be run.
        """
        permission = request_tiles()
        if permission.value is None:
            raise NotApplicableError(
                f"the kernel refused the tile permission: {errno_name(permission.errno)}"
            )
        try:
            check = self._check(request.batch, request.stored)
        except (KeyError, ValueError) as error:
            raise UsageError(f"this batch of tiles cannot be run: {error}") from error
        return check.run_for(request.seconds), {}


class BatchCheck:
    """A batch, ready to run and be compared as often as wanted; the oracle is asked once.

    With ``stored`` it runs the stored operands. Raises KeyError or ValueError as ``operands`` does.
    """

    def __init__(
        self,
        batch: TileBatch,
        stored: Mismatch | None = None,
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._batch = batch
        self._steps = operands(batch, stored)
        self._expected = expected(batch, self._steps)
        self._run = TileRun(batch, self._steps)
        self._clock = clock

    def run_for(self, seconds: float) -> SoakSlice:
        """Run the batch until ``seconds`` have passed or a result is not exact, at least once."""
        began = self._clock()
        busy, runs, verified = 0.0, 0, None
        while True:
            before = self._clock()
            self._run()
            after = self._clock()
            busy, runs = busy + after - before, runs + 1
            found, stray = self._run.result()
            # Comparing with the run before is quick; a difference is then compared in full.
            if verified is None or stray or not np.array_equal(found, verified):
                verified = found
                result = self._compare(found, stray)
            if not result.is_exact or after - began >= seconds:
                return SoakSlice(result, runs, busy)

    def _compare(self, found: WordTiles, stray: int) -> BatchResult:
        """Count the elements that differ, and keep all that is needed to run the first again."""
        batch, steps = self._batch, self._steps
        different = INSTRUCTIONS[batch.instruction].differs(found, self._expected)
        wrong = int(np.count_nonzero(different))
        first = None
        if wrong:
            tile, row, column = (int(index) for index in np.argwhere(different)[0])
            first = Mismatch(
                tile=tile,
                row=row,
                column=column,
                found=int(found[tile, row, column]),
                expected=int(self._expected[tile, row, column]),
                a=b"".join(step.a[tile].tobytes() for step in steps),
                b=b"".join(step.b[tile].tobytes() for step in steps),
                c=steps[0].c[tile].tobytes(),
            )
        return BatchResult(batch, current_cpu(), batch.elements, wrong, first, stray)
