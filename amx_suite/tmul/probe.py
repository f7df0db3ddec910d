"""A reading of how fast each unit of the machine is at this moment, on every bound CPU at once.

A neighbour on the same core or memory shows as a rate below the quiet one. Each unit is kept busy
for about 20 ms, one thread a CPU, pinned to it; what counts is the slowest CPU. A core's units are
read per cycle in windows of a millisecond (``cycles``), memory by the clock in one piece.
"""

from __future__ import annotations

__all__ = ["READING_SECONDS", "Probe"]

import os
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from amx_suite.core.quiet import Reading
from amx_suite.core.units import Unit
from amx_suite.tmul.cycles import CycleReader, Loop, MakeLoop, Window, passes_to_fill, seconds_of

#: What one unit's part of a reading takes on a quiet machine.
READING_SECONDS = 0.02
#: Windows of a core's unit in a reading; those that were interrupted are left out.
_WINDOWS = 15
#: A thread that does not come to the start by then has failed, and its error is what is raised.
_SECONDS_TO_MEET = 10.0

_T = TypeVar("_T")


class Probe:
    """Takes readings of the given units on the given CPUs. Between readings it does nothing.

    ``make_chain`` makes the loop that counts a core's cycles. How many passes fill a reading is
    found once, at the start, so that every later reading does the same work.
    """

    def __init__(
        self, cpus: Sequence[int], loops: Mapping[Unit, MakeLoop], make_chain: MakeLoop
    ) -> None:
        self._cpus = tuple(cpus)
        self._loops = {unit: self._made_by(make) for unit, make in loops.items()}
        self._memory_passes = 0
        if Unit.MEMORY in loops:
            loop = self._loops[Unit.MEMORY][0]
            self._memory_passes = passes_to_fill(loop, READING_SECONDS, time.perf_counter)
        self._cycles = self._on_each_cpu(lambda index: self._reader(index, make_chain()))

    def read(self) -> Reading:
        """One reading; takes about ``READING_SECONDS`` a unit, longer where a CPU is contended."""
        return Reading({unit: min(self._rates(unit)) for unit in self._loops})

    def read_sums(self) -> dict[Unit, float]:
        """Operations or bytes a second of each unit, summed over the CPUs."""
        return {unit: sum(self._rates(unit, by_cycle=False)) for unit in self._loops}

    def _made_by(self, make: MakeLoop) -> list[Loop]:
        return self._on_each_cpu(lambda _: make())

    def _reader(self, index: int, chain: Loop) -> CycleReader:
        own: dict[Unit, Loop] = {unit: loops[index] for unit, loops in self._loops.items()}
        own.pop(Unit.MEMORY, None)
        return CycleReader(own, chain, time.perf_counter)

    def _rates(self, unit: Unit, *, by_cycle: bool = True) -> list[float]:
        """The unit's rate on each CPU, all at once."""
        together = threading.Barrier(len(self._cpus), timeout=_SECONDS_TO_MEET)

        def rate(index: int) -> float:
            together.wait()
            if unit is Unit.MEMORY:
                loop, passes = self._loops[unit][index], self._memory_passes
                return passes * loop.work / seconds_of(loop, passes, time.perf_counter)
            return _mean([self._cycles[index].window(unit) for _ in range(_WINDOWS)], by_cycle)

        return self._on_each_cpu(rate)

    def _on_each_cpu(self, work: Callable[[int], _T]) -> list[_T]:
        """``work(index)`` on a thread pinned to each CPU, all at once; its error is raised here."""
        with ThreadPoolExecutor(len(self._cpus)) as threads:
            return list(
                threads.map(lambda index: self._pinned(index, work), range(len(self._cpus)))
            )

    def _pinned(self, index: int, work: Callable[[int], _T]) -> _T:
        os.sched_setaffinity(0, {self._cpus[index]})  # of the calling thread only
        return work(index)


def _mean(windows: Sequence[Window], by_cycle: bool) -> float:
    """What the unit gave in all the windows, a cycle or a second.

    Each does the same work, so that is the harmonic mean of their rates; over those that were not
    interrupted, unless all were.
    """
    whole = [window for window in windows if not window.interrupted] or windows
    rates = (each.per_cycle if by_cycle else each.per_cycle * each.hertz for each in whole)
    return statistics.harmonic_mean(rates)
