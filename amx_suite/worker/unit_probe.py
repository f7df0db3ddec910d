"""The parent's handle of the child that reads how fast this machine's units are."""

from __future__ import annotations

__all__ = ["UnitProbe"]

from collections.abc import Sequence

from amx_suite.child.handle import Child
from amx_suite.core.peaks import CpuCycles, Peaks
from amx_suite.core.quiet import Reading
from amx_suite.worker.probing import (
    CyclesRead,
    MeasurePeaks,
    PeaksMeasured,
    ReadCycles,
    ReadUnits,
    UnitsRead,
)


class UnitProbe(Child):
    """A child that reads the units of its CPUs, and may use tiles."""

    def __init__(self, cpus: Sequence[int]) -> None:
        super().__init__("amx_suite.worker.probing:Units", label="unit probe", cpus=cpus)

    def probe(self) -> Reading:
        """How fast each unit is now; blocks on the socket meanwhile."""
        return self.ask(ReadUnits(), UnitsRead).reading

    def read_cycles(self, seconds: float) -> tuple[CpuCycles, ...]:
        """The most that each unit of each CPU does per cycle, found within so many seconds."""
        return self.ask(ReadCycles(seconds), CyclesRead, seconds=seconds + 60.0).cpus

    def measure_peaks(self, readings: int) -> Peaks:
        """The most that each unit gives, from so many readings of each."""
        return self.ask(MeasurePeaks(readings), PeaksMeasured).peaks
