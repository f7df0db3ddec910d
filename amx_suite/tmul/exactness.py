"""Tile multiplications of this CPU compared with the oracle, bit for bit.

Runs in a child process that holds the tile permission.
"""

from __future__ import annotations

__all__ = ["BatchCheck", "expected", "operands", "stored_operands"]

import time
from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from amx_suite.tmul.batch import BatchResult, Mismatch, SoakSlice, TileBatch
from amx_suite.tmul.execute import TileRun
from amx_suite.tmul.fills import Operands, fill
from amx_suite.tmul.instructions import INSTRUCTIONS
from amx_suite.tmul.kernel_calls import current_cpu
from amx_suite.tmul.oracle import WordTiles


def operands(batch: TileBatch) -> tuple[Operands, ...]:
    """The operands of each step, always the same for the same batch.

    Raises KeyError for an unknown instruction, ValueError for a fill that does not suit it.
    """
    rng = np.random.default_rng(batch.seed)
    shape = (batch.tiles, batch.rows, batch.k_bytes, batch.n_bytes)
    instruction = INSTRUCTIONS[batch.instruction]
    return tuple(fill(batch.fill, instruction, rng, *shape) for _ in range(batch.steps))


def stored_operands(result: BatchResult) -> tuple[TileBatch, tuple[Operands, ...]]:
    """The tile of the result's first mismatch as a batch of its own, with its stored operands.

    Raises ValueError for a result without a mismatch, or whose operands do not fit its batch.
    """
    batch, first = msgspec.structs.replace(result.batch, tiles=1), result.first
    if first is None:
        raise ValueError("this result has no mismatch: there is nothing to run again")
    a = np.frombuffer(first.a, np.uint8).reshape(batch.steps, 1, batch.rows, batch.k_bytes)
    b = np.frombuffer(first.b, np.uint8).reshape(batch.steps, 1, batch.k_bytes // 4, batch.n_bytes)
    c = np.frombuffer(first.c, np.uint32).reshape(1, batch.rows, batch.n_bytes // 4)
    return batch, tuple(Operands(a[step], b[step], c) for step in range(batch.steps))


def expected(batch: TileBatch, steps: Sequence[Operands]) -> WordTiles:
    """What the oracle gives after all steps, as bits [tiles, rows, n_bytes / 4]."""
    c = steps[0].c
    for step in steps:
        c = INSTRUCTIONS[batch.instruction].oracle(step.a, step.b, c)
    return c


class BatchCheck:
    """A batch, ready to run and be compared as often as wanted; the oracle is asked once.

    ``steps`` are the operands of each step, those of the batch if left out. Raises KeyError or
    ValueError for a batch that cannot be run.
    """

    def __init__(
        self,
        batch: TileBatch,
        steps: Sequence[Operands] | None = None,
        *,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.batch = batch
        self._steps = operands(batch) if steps is None else steps
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
        batch, steps = self.batch, self._steps
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
