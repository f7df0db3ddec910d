"""A reading of how fast each unit of the machine is at this moment, on every bound CPU at once.

A neighbour on the same core or memory shows as a rate below the quiet one. Each unit is kept busy
for about 20 ms by one call of an assembled loop of fixed length, one thread a CPU, pinned to it;
what counts is the slowest CPU.
"""

from __future__ import annotations

__all__ = ["READING_SECONDS", "Loop", "MakeLoop", "Probe"]

import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

from amx_suite.core.noise import Reading, Unit

#: What one unit's part of a reading takes on a quiet machine.
READING_SECONDS = 0.02
#: A loop's speed is found from the fastest of so many calls of at least so long.
_TRIES = 3
_LEAST_TRY_SECONDS = 0.002
#: A thread that does not come to the start by then has failed, and its error is what is raised.
_SECONDS_TO_MEET = 10.0


_T = TypeVar("_T")


class Loop(NamedTuple):
    """A loop of one unit: ``run(passes)`` does ``passes * work`` operations or bytes."""

    run: Callable[[int], object]
    work: float


#: Makes one CPU's loop, with buffers of its own; called on the thread that will run it.
MakeLoop = Callable[[], Loop]


class Probe:
    """Takes readings of the given units on the given CPUs. Between readings it does nothing.

    How many passes fill a reading is found once, at the start, from the fastest try on the first
    CPU, so that every later reading does the same work.
    """

    def __init__(self, cpus: Sequence[int], loops: Mapping[Unit, MakeLoop]) -> None:
        self._cpus = tuple(cpus)
        self._numbers = range(len(self._cpus))
        self._loops: dict[Unit, list[Loop]] = {}
        self._passes: dict[Unit, int] = {}
        for unit, make in loops.items():
            self._loops[unit] = self._on_each_cpu(_ignoring_index(make))
            self._passes[unit] = _passes_to_fill(self._loops[unit][0])

    def read(self) -> Reading:
        """One reading; takes about ``READING_SECONDS`` a unit, longer where a CPU is contended."""
        return Reading({unit: min(self._rates(unit)) for unit in self._loops})

    def read_sums(self) -> dict[Unit, float]:
        """One reading, each unit's rate summed over the CPUs."""
        return {unit: sum(self._rates(unit)) for unit in self._loops}

    def _rates(self, unit: Unit) -> list[float]:
        """The unit's rate on each CPU, from the thread's own two readings of the clock."""
        passes, loops = self._passes[unit], self._loops[unit]
        together = threading.Barrier(len(self._cpus), timeout=_SECONDS_TO_MEET)

        def rate(index: int) -> float:
            together.wait()
            start = time.perf_counter()
            loops[index].run(passes)
            return passes * loops[index].work / (time.perf_counter() - start)

        return self._on_each_cpu(rate)

    def _on_each_cpu(self, work: Callable[[int], _T]) -> list[_T]:
        """``work(index)`` on a thread pinned to each CPU, all at once; its error is raised here."""
        with ThreadPoolExecutor(len(self._cpus)) as threads:
            return list(threads.map(lambda index: self._pinned(index, work), self._numbers))

    def _pinned(self, index: int, work: Callable[[int], _T]) -> _T:
        os.sched_setaffinity(0, {self._cpus[index]})  # of the calling thread only
        return work(index)


def _ignoring_index(make: MakeLoop) -> Callable[[int], Loop]:
    return lambda _: make()


def _passes_to_fill(loop: Loop) -> int:
    """Passes that take ``READING_SECONDS`` at the fastest speed seen."""
    passes = 1
    while (seconds := _seconds(loop, passes)) < _LEAST_TRY_SECONDS:
        passes *= 2
    fastest = min(seconds, *(_seconds(loop, passes) for _ in range(_TRIES)))
    return max(1, round(passes * READING_SECONDS / fastest))


def _seconds(loop: Loop, passes: int) -> float:
    start = time.perf_counter()
    loop.run(passes)
    return time.perf_counter() - start
