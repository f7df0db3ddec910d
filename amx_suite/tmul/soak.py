"""The same tile multiplications over and over on one CPU, each result compared."""

from __future__ import annotations

__all__ = ["Soak"]

import time
from collections.abc import Callable, Sequence

import numpy as np

from amx_suite.tmul.batch import SoakSlice, TileBatch
from amx_suite.tmul.conformance import compare, expected, operands
from amx_suite.tmul.execute import TileRun
from amx_suite.tmul.fills import Operands


class Soak:
    """A batch whose right results are computed once."""

    def __init__(
        self,
        batch: TileBatch,
        make: Callable[[TileBatch, Sequence[Operands]], TileRun] = TileRun,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.batch = batch
        self._steps = operands(batch)
        self._wanted = expected(batch, self._steps)
        self._run = make(batch, self._steps)
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
            # The oracle is asked only about words that the run before did not have.
            if verified is None or stray or not np.array_equal(found, verified):
                verified = found
                result = compare(self.batch, self._steps, (found, stray), self._wanted)
                if not result.is_exact:
                    return SoakSlice(result, runs, busy)
            if after - began >= seconds:
                return SoakSlice(result, runs, busy)
