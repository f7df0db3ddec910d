"""What a unit does in each cycle of its core, whatever the core's frequency.

A chain of dependent additions takes a cycle for each, so its speed just before and after a unit's
loop tells the frequency of that moment. A neighbour on the same core hardly slows the chain, and
takes more than half of the tile unit away (docs/measured.md).
"""

from __future__ import annotations

__all__ = ["CycleReader", "Window"]

import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from amx_suite.core.noise import Unit
from amx_suite.tmul.probe import Loop

_LOOP_SECONDS, _CHAIN_SECONDS = 0.001, 0.0002
_CHAINS_AGREE_WITHIN = 1.05
#: A loop's speed is found from the fastest of so many calls.
_TRIES = 20
_FIRST_PASSES = 1000


class Window(NamedTuple):
    """One unit's operations per cycle in a millisecond, and the core's frequency meanwhile."""

    unit: Unit
    per_cycle: float
    hertz: float


class CycleReader:
    """Takes windows of units on the CPU that the thread is on.

    ``chain`` does one addition of its chain for each of its ``work``. ``clock`` counts seconds.
    """

    def __init__(
        self,
        loops: Mapping[Unit, Loop],
        chain: Loop,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self._loops = dict(loops)
        self._chain = chain
        self._clock = clock
        self._chain_passes = self._passes_to_fill(chain, _CHAIN_SECONDS)
        self._passes = {
            unit: self._passes_to_fill(loop, _LOOP_SECONDS) for unit, loop in loops.items()
        }

    def read(self) -> Iterator[Window]:
        """A window of each unit, without those that were interrupted."""
        for unit, loop in self._loops.items():
            before = self._hertz()
            passes = self._passes[unit]
            seconds = self._seconds(loop, passes)
            after = self._hertz()
            hertz = max(before, after)
            # Two chains that were both interrupted would make a slow unit look fast.
            if min(before, after) >= hertz / _CHAINS_AGREE_WITHIN:
                yield Window(unit, passes * loop.work / seconds / hertz, hertz)

    def _hertz(self) -> float:
        passes = self._chain_passes
        return passes * self._chain.work / self._seconds(self._chain, passes)

    def _passes_to_fill(self, loop: Loop, seconds: float) -> int:
        fastest = min(self._seconds(loop, _FIRST_PASSES) for _ in range(_TRIES))
        return max(1, round(_FIRST_PASSES * seconds / fastest))

    def _seconds(self, loop: Loop, passes: int) -> float:
        start = self._clock()
        loop.run(passes)
        return self._clock() - start
