"""How much a unit does per cycle of its core, at any frequency.

A chain of dependent additions takes one cycle for each, so its speed just before and after a unit's
loop gives the core's frequency. A neighbour on the same core hardly slows the chain, but takes more
than half of the tile unit (docs/measured.md).
"""

from __future__ import annotations

__all__ = ["CycleReader", "Loop", "MakeLoop", "Window", "passes_to_fill", "seconds_of"]

import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from amx_suite.core.units import Unit

Clock = Callable[[], float]

#: Short, so that the chains run at the loop's frequency: a core that runs wide vectors for longer
#: lowers it, and FMA would seem to give 0.9 of its theory instead of 0.98.
_LOOP_SECONDS, _CHAIN_SECONDS = 0.001, 0.0002
_CHAINS_AGREE_WITHIN = 1.05
#: A loop's speed is that of its fastest call among up to 20 calls of at least half a millisecond.
_TRIES = 20
_LEAST_TRY_SECONDS = 0.0005


class Loop(NamedTuple):
    """A loop of one unit: ``run(passes)`` does ``passes * work`` operations or bytes."""

    run: Callable[[int], object]
    work: float


#: Makes one CPU's loop, with buffers of its own; called on the thread that will run it.
MakeLoop = Callable[[], Loop]


class Window(NamedTuple):
    """One unit's operations per cycle for a moment, and the core's frequency meanwhile.

    ``interrupted`` if the two chains disagree; then the frequency is not known.
    """

    unit: Unit
    per_cycle: float
    hertz: float
    interrupted: bool


class CycleReader:
    """Takes windows of units on the CPU that the thread is on.

    The ``work`` of ``chain`` is its additions. ``clock`` counts seconds.
    """

    def __init__(
        self,
        loops: Mapping[Unit, Loop],
        chain: Loop,
        clock: Clock = time.perf_counter,
    ) -> None:
        self._loops = dict(loops)
        self._chain = chain
        self._clock = clock
        self._chain_passes = passes_to_fill(chain, _CHAIN_SECONDS, clock)
        self._passes = {
            unit: passes_to_fill(loop, _LOOP_SECONDS, clock) for unit, loop in self._loops.items()
        }

    def window(self, unit: Unit) -> Window:
        """One window of the unit."""
        loop, passes = self._loops[unit], self._passes[unit]
        before = self._hertz()
        seconds = seconds_of(loop, passes, self._clock)
        after = self._hertz()
        hertz = max(before, after)
        # An interrupted chain would make a slow unit look fast.
        interrupted = min(before, after) < hertz / _CHAINS_AGREE_WITHIN
        return Window(unit, passes * loop.work / seconds / hertz, hertz, interrupted)

    def read(self) -> Iterator[Window]:
        """A window of each unit, without those that were interrupted."""
        windows = (self.window(unit) for unit in self._loops)
        return (window for window in windows if not window.interrupted)

    def _hertz(self) -> float:
        passes = self._chain_passes
        return passes * self._chain.work / seconds_of(self._chain, passes, self._clock)


def passes_to_fill(loop: Loop, seconds: float, clock: Clock) -> int:
    """Passes that take ``seconds`` at the fastest speed seen."""
    passes = 1
    while (fastest := seconds_of(loop, passes, clock)) < _LEAST_TRY_SECONDS:
        passes *= 2
    tries = min(_TRIES, 1 + int(_TRIES * _LEAST_TRY_SECONDS / fastest))
    fastest = min(fastest, *(seconds_of(loop, passes, clock) for _ in range(tries)))
    return max(1, round(passes * seconds / fastest))


def seconds_of(loop: Loop, passes: int, clock: Clock) -> float:
    """Seconds that the passes take."""
    start = clock()
    loop.run(passes)
    return clock() - start
