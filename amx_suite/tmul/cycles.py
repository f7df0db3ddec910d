"""What a unit does in each cycle of its core, whatever the core's frequency.

A chain of dependent additions takes a cycle for each, so its speed just before and after a unit's
loop tells the frequency of that moment. A neighbour on the same core hardly slows the chain, and
takes more than half of the tile unit away (docs/measured.md).
"""

from __future__ import annotations

__all__ = ["CycleReader", "Loop", "MakeLoop", "Window", "passes_to_fill", "seconds_of"]

import time
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from amx_suite.core.units import Unit

Clock = Callable[[], float]

#: Short, so that the frequency of the chains is that of the loop: a core that runs wide vectors for
#: longer lowers it, and FMA would seem to give 0.9 of its theory instead of 0.98.
_LOOP_SECONDS, _CHAIN_SECONDS = 0.001, 0.0002
_CHAINS_AGREE_WITHIN = 1.05
#: A loop's speed is found from the fastest of so many calls of at least so long.
_TRIES = 20
_LEAST_TRY_SECONDS = 0.0005


class Loop(NamedTuple):
    """A loop of one unit: ``run(passes)`` does ``passes * work`` operations or bytes."""

    run: Callable[[int], object]
    work: float


#: Makes one CPU's loop, with buffers of its own; called on the thread that will run it.
MakeLoop = Callable[[], Loop]


class Window(NamedTuple):
    """One unit's operations per cycle in a moment, and the core's frequency meanwhile.

    ``interrupted`` where the two chains disagree, so that its frequency is not known.
    """

    unit: Unit
    per_cycle: float
    hertz: float
    interrupted: bool


class CycleReader:
    """Takes windows of units on the CPU that the thread is on.

    ``chain`` does one addition of its chain for each of its ``work``. ``clock`` counts seconds.
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
        # Two chains that were both interrupted would make a slow unit look fast.
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
    """Passes that take so long at the fastest speed seen."""
    passes = 1
    while (fastest := seconds_of(loop, passes, clock)) < _LEAST_TRY_SECONDS:
        passes *= 2
    tries = min(_TRIES, 1 + int(_TRIES * _LEAST_TRY_SECONDS / fastest))
    fastest = min(fastest, *(seconds_of(loop, passes, clock) for _ in range(tries)))
    return max(1, round(passes * seconds / fastest))


def seconds_of(loop: Loop, passes: int, clock: Clock) -> float:
    """Seconds that so many passes take."""
    start = clock()
    loop.run(passes)
    return clock() - start
