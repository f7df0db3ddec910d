"""How fast each unit of the machine is now, on all given CPUs at once.

A neighbour on the same core or memory shows as a rate below the quiet one. Memory is read by the
clock, a core's units by the cycles of the core, so that its frequency does not matter: a chain of
dependent additions takes one cycle for each, and its speed just before and after a unit's loop
gives the frequency. A neighbour on the same core hardly slows the chain, but takes more than half
of the tile unit (docs/measured.md).
"""

from __future__ import annotations

__all__ = [
    "READING_SECONDS",
    "CycleReader",
    "Loop",
    "MakeLoop",
    "Probe",
    "Window",
]

import os
import statistics
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import NamedTuple, TypeVar

from amx_suite.core.quiet import Reading
from amx_suite.core.units import Unit

#: One unit's part of a reading on a quiet machine.
READING_SECONDS = 0.02
#: Windows of a core's unit in a reading.
_WINDOWS = 15
#: By then every thread has reached the start, or has failed.
_SECONDS_TO_MEET = 10.0

#: Short, so that the chains run at the loop's frequency: a core that runs wide vectors for longer
#: lowers it, and FMA would seem to give 0.9 of its theory instead of 0.98.
_LOOP_SECONDS, _CHAIN_SECONDS = 0.001, 0.0002
_CHAINS_AGREE_WITHIN = 1.05
#: A loop's speed is that of its fastest call among up to 20 calls of at least half a millisecond.
_TRIES = 20
_LEAST_TRY_SECONDS = 0.0005

_T = TypeVar("_T")


class Loop(NamedTuple):
    """A loop of one unit: ``run(passes)`` does ``passes * work`` operations or bytes.

    It returns the seconds that this took.
    """

    run: Callable[[int], float]
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

    The ``work`` of ``chain`` is its additions.
    """

    def __init__(self, loops: Mapping[Unit, Loop], chain: Loop) -> None:
        self._loops = dict(loops)
        self._chain = chain
        self._chain_passes = _passes_to_fill(chain, _CHAIN_SECONDS)
        self._passes = {unit: _passes_to_fill(x, _LOOP_SECONDS) for unit, x in self._loops.items()}

    def window(self, unit: Unit) -> Window:
        """One window of the unit."""
        loop, passes = self._loops[unit], self._passes[unit]
        before = self._hertz()
        seconds = loop.run(passes)
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
        return passes * self._chain.work / self._chain.run(passes)


class Probe:
    """Takes readings of the given units on the given CPUs, with a thread on each.

    Between readings no thread runs; they end with the process or when nobody holds the probe.

    ``make_chain`` makes the loop that counts a core's cycles. The passes of a reading are counted
    once, at the start, so that every reading does the same work.
    """

    def __init__(
        self, cpus: Sequence[int], loops: Mapping[Unit, MakeLoop], make_chain: MakeLoop
    ) -> None:
        self._threads = [ThreadPoolExecutor(1) for _ in cpus]
        # Of the calling thread only.
        self._on_each_cpu(lambda index: os.sched_setaffinity(0, {cpus[index]}))
        self._loops = {unit: self._made_by(make) for unit, make in loops.items()}
        self._memory_passes = 0
        if Unit.MEMORY in loops:
            loop = self._loops[Unit.MEMORY][0]
            self._memory_passes = _passes_to_fill(loop, READING_SECONDS)
        self._cycles = self._on_each_cpu(lambda index: self._reader(index, make_chain()))

    def read(self) -> Reading:
        """One reading; takes about ``READING_SECONDS`` a unit, longer where a CPU is contended.

        INT8 is left out: it uses the same unit as BF16, so one of them tells whether it is busy.
        """
        units = (unit for unit in self._loops if unit is not Unit.TILE_INT8)
        return Reading({unit: min(self._rates(unit)) for unit in units})

    def read_sums(self) -> dict[Unit, float]:
        """Operations or bytes a second of each unit, summed over the CPUs."""
        return {unit: sum(self._rates(unit, by_cycle=False)) for unit in self._loops}

    def _made_by(self, make: MakeLoop) -> list[Loop]:
        return self._on_each_cpu(lambda _: make())

    def _reader(self, index: int, chain: Loop) -> CycleReader:
        own: dict[Unit, Loop] = {unit: loops[index] for unit, loops in self._loops.items()}
        own.pop(Unit.MEMORY, None)
        return CycleReader(own, chain)

    def _rates(self, unit: Unit, *, by_cycle: bool = True) -> list[float]:
        """The unit's rate on each CPU, all at once."""
        together = threading.Barrier(len(self._threads), timeout=_SECONDS_TO_MEET)

        def rate(index: int) -> float:
            together.wait()
            if unit is Unit.MEMORY:
                loop, passes = self._loops[unit][index], self._memory_passes
                return passes * loop.work / loop.run(passes)
            return _mean([self._cycles[index].window(unit) for _ in range(_WINDOWS)], by_cycle)

        return self._on_each_cpu(rate)

    def _on_each_cpu(self, work: Callable[[int], _T]) -> list[_T]:
        """``work(index)`` on each CPU's thread, all at once; its error is raised here."""
        tasks = [thread.submit(work, index) for index, thread in enumerate(self._threads)]
        wait(tasks)
        return [task.result() for task in tasks]


def _mean(windows: Sequence[Window], by_cycle: bool) -> float:
    """The unit's rate over all windows, per cycle or per second.

    Each window does the same work, so this is the harmonic mean of their rates. Interrupted windows
    are left out, unless all are.
    """
    whole = [window for window in windows if not window.interrupted] or windows
    rates = (each.per_cycle if by_cycle else each.per_cycle * each.hertz for each in whole)
    return statistics.harmonic_mean(rates)


def _passes_to_fill(loop: Loop, seconds: float) -> int:
    """Passes that take ``seconds`` at the fastest speed seen."""
    passes = 1
    while (fastest := loop.run(passes)) < _LEAST_TRY_SECONDS:
        passes *= 2
    tries = min(_TRIES, 1 + int(_TRIES * _LEAST_TRY_SECONDS / fastest))
    fastest = min(fastest, *(loop.run(passes) for _ in range(tries)))
    return max(1, round(passes * seconds / fastest))
