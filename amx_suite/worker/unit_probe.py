"""How fast this machine's units are: a child that reads them, and the parent's handle of it."""

from __future__ import annotations

__all__ = ["UnitProbe", "Units", "unit_loops", "units_of_a_core"]

import os
import statistics
import time
from collections.abc import Iterator, Sequence
from functools import cached_property, partial
from typing import Any, ClassVar, Generic, TypeVar

from amx_suite.child.channel import ArrayMap, Reply, Request
from amx_suite.child.handle import Child
from amx_suite.core.isa import AMX_FLAGS
from amx_suite.core.peaks import CoreCycles, Peaks, Spread
from amx_suite.core.quiet import Reading
from amx_suite.core.units import Count, Unit
from amx_suite.errors import NotApplicableError
from amx_suite.host.cpuinfo import read_cpuinfo
from amx_suite.tmul.instructions import INSTRUCTIONS
from amx_suite.tmul.loops import (
    AVX2,
    AVX512,
    chain_loop,
    fma_loop,
    stream_bytes,
    stream_loop,
    throughput_loop,
)
from amx_suite.tmul.probe import CycleReader, Loop, MakeLoop, Probe
from amx_suite.tmul.xcomp import request_tiles

#: A core that was idle takes some milliseconds to reach its frequency, and until then the chains
#: around a loop disagree.
_SECONDS_ON_A_CPU = 0.05

_T = TypeVar("_T")


class ReadUnits(Request, frozen=True, tag=True):
    """Read how fast each unit is now on every CPU of this child."""


class MeasurePeaks(Request, frozen=True, tag=True):
    """Read the most that each unit gives on all CPUs at once, ``readings`` times."""

    seconds_to_answer: ClassVar[float] = 600.0

    readings: Count


class ReadCycles(Request, frozen=True, tag=True):
    """Read what each unit does per cycle, on one of these CPUs after the other."""

    cpus: tuple[int, ...]


class UnitsRead(Reply, Generic[_T], frozen=True, tag=True):
    """What was read."""

    found: _T


class UnitProbe(Child):
    """A child that reads the units of its CPUs, and may use tiles.

    Each method raises NotApplicableError on a CPU without vectors that can be read.
    """

    def __init__(self, cpus: Sequence[int]) -> None:
        super().__init__(f"{__name__}:Units", label="unit probe", cpus=cpus)

    def probe(self) -> Reading:
        """How fast each unit is now; meanwhile this process only waits."""
        return self.ask(ReadUnits(), UnitsRead[Reading]).found

    def measure_peaks(self, readings: int) -> Peaks:
        """The most that each unit gives on all CPUs at once, from this number of readings."""
        return self.ask(MeasurePeaks(readings), UnitsRead[Peaks]).found

    def read_cycles(self, cpus: Sequence[int]) -> tuple[CoreCycles, ...]:
        """What the units of each of these CPUs do per cycle now, read several times in 0.05 s.

        FMA is read beside each other unit. A unit that was interrupted is missing.
        """
        found = self.ask(ReadCycles(tuple(cpus)), UnitsRead[tuple[CoreCycles, ...]]).found
        if others := {reading.cpu for reading in found} - set(cpus):
            raise self.disbelieve(f"readings of CPUs {sorted(others)}, which were not asked for")
        return found


class Units:
    """Handles the requests of a ``UnitProbe`` on the CPUs of its process."""

    requests: ClassVar[Any] = ReadUnits | MeasurePeaks | ReadCycles

    def __init__(self) -> None:
        self._cpus = tuple(sorted(os.sched_getaffinity(0)))

    def handle(
        self, request: ReadUnits | MeasurePeaks | ReadCycles, arrays: ArrayMap
    ) -> tuple[Reply, ArrayMap]:
        """Take the readings."""
        match request:
            case ReadUnits():
                return UnitsRead(self._probe.read()), {}
            case MeasurePeaks(readings):
                return UnitsRead(self._measure_peaks(readings)), {}
            case ReadCycles(cpus):
                return UnitsRead(tuple(self._read_cycles(cpus))), {}

    @cached_property
    def _probe(self) -> Probe:
        return Probe(self._cpus, unit_loops(len(self._cpus)), chain_loop)

    @cached_property
    def _cycles(self) -> CycleReader:
        """FMA is in the middle, so that each tile unit is read right beside it."""
        loops = units_of_a_core()
        order = (Unit.TILE, Unit.FMA, Unit.TILE_INT8)
        return CycleReader({unit: loops[unit] for unit in order if unit in loops}, chain_loop())

    def _measure_peaks(self, readings: int) -> Peaks:
        found = [self._probe.read_sums() for _ in range(readings)]
        series = {unit: [reading[unit] for reading in found] for unit in found[0]}
        rates = {u: Spread(statistics.median(s), min(s), max(s)) for u, s in series.items()}
        return Peaks(self._cpus, rates)

    def _read_cycles(self, cpus: Sequence[int]) -> Iterator[CoreCycles]:
        """One CPU at a time, so that no two of them share a core."""
        try:
            for cpu in cpus:
                os.sched_setaffinity(0, {cpu})
                end = time.monotonic() + _SECONDS_ON_A_CPU
                while (now := time.monotonic()) < end:
                    windows = list(self._cycles.read())
                    rates = {window.unit: window.per_cycle for window in windows}
                    yield CoreCycles(cpu, rates, {each.unit: each.hertz for each in windows}, now)
        finally:
            os.sched_setaffinity(0, self._cpus)


def unit_loops(cpus: int = 1) -> dict[Unit, MakeLoop]:
    """A loop for each unit that the CPU has and the kernel permits to this process.

    All of them run on so many ``cpus``, whose loops of memory share a bounded space.
    Raises NotApplicableError where there is none: nothing would tell quiet from busy.
    """
    flags = set(read_cpuinfo().flags)
    widest = next((each for each in (AVX512, AVX2) if flags.issuperset(each.flags)), None)
    if widest is None:
        raise NotApplicableError(
            "this CPU has neither AVX-512 nor AVX2 with FMA, or /proc/cpuinfo does not list them, "
            "so the probe can read none of its units and nothing would tell quiet from busy; use a "
            "CPU that has them"
        )
    loops: dict[Unit, MakeLoop] = {
        Unit.MEMORY: partial(stream_loop, widest, stream_bytes(cpus)),
        Unit.FMA: partial(fma_loop, widest),
    }
    if flags.issuperset(AMX_FLAGS) and request_tiles().value is not None:
        loops[Unit.TILE] = partial(throughput_loop, INSTRUCTIONS["tdpbf16ps"])
        loops[Unit.TILE_INT8] = partial(throughput_loop, INSTRUCTIONS["tdpbssd"])
    return loops


def units_of_a_core() -> dict[Unit, Loop]:
    """The loops of the units that a core has to itself: all but its way to memory."""
    return {unit: make() for unit, make in unit_loops().items() if unit is not Unit.MEMORY}
