"""The child's side of a ``UnitProbe``: which units can be read here, and how fast they are."""

from __future__ import annotations

__all__ = [
    "CyclesRead",
    "MeasurePeaks",
    "PeaksMeasured",
    "ReadCycles",
    "ReadUnits",
    "Units",
    "UnitsRead",
    "counting_chain",
    "measure_peaks",
    "open_probe",
    "units_of_a_core",
]

import functools
import os
import statistics
import time
from collections.abc import Sequence
from typing import Any, ClassVar

from amx_suite.child.channel import ArrayMap
from amx_suite.child.messages import Reply, Request
from amx_suite.core.numbers import Seconds
from amx_suite.core.peaks import CpuCycles, Peaks, Spread
from amx_suite.core.quiet import Reading
from amx_suite.core.units import Unit
from amx_suite.errors import NotApplicableError
from amx_suite.host.cpuinfo import read_cpuinfo
from amx_suite.tmul.config import MAX_ROW_BYTES, MAX_ROWS, TILES, tile_config
from amx_suite.tmul.cycles import CycleReader, Loop, MakeLoop
from amx_suite.tmul.instructions import INSTRUCTIONS
from amx_suite.tmul.loops import (
    ADDS_PER_ITERATION,
    AVX2,
    AVX512,
    DOTS_PER_ITERATION,
    THROUGHPUT_OPERAND_BYTES,
    Vectors,
    chain_loop,
    fma_loop,
    stream_loop,
    throughput_loop,
)
from amx_suite.tmul.probe import Probe
from amx_suite.tmul.xcomp import request_tiles

#: Each CPU streams over so much of its own: more than a core's share of any last-level cache, and
#: small beside the memory that an arm needs.
_STREAM_BYTES = 64 << 20


class ReadUnits(Request, frozen=True, tag=True):
    """Read how fast each unit is now on every CPU of this child."""


class MeasurePeaks(Request, frozen=True, tag=True):
    """Read the most that each unit gives on the child's CPUs, ``readings`` times."""

    seconds_to_answer: ClassVar[float] = 600.0

    readings: int


class ReadCycles(Request, frozen=True, tag=True):
    """Read what each unit does per cycle, on one CPU after the other, for so many seconds."""

    seconds: Seconds


class CyclesRead(Reply, frozen=True, tag=True):
    """What was read of each CPU; a CPU or unit that was always interrupted is missing."""

    cpus: tuple[CpuCycles, ...]


class UnitsRead(Reply, frozen=True, tag=True):
    """The reading that was asked for."""

    reading: Reading


class PeaksMeasured(Reply, frozen=True, tag=True):
    """What the units gave."""

    peaks: Peaks


class Units:
    """Handles the requests of a ``UnitProbe`` on the CPUs that the process may use."""

    requests: ClassVar[Any] = ReadUnits | MeasurePeaks | ReadCycles

    def __init__(self) -> None:
        self._cpus = tuple(sorted(os.sched_getaffinity(0)))
        self._probe: Probe | None = None
        self._cycles: CycleReader | None = None

    def handle(
        self, request: ReadUnits | MeasurePeaks | ReadCycles, arrays: ArrayMap
    ) -> tuple[Reply, ArrayMap]:
        """Take the readings; the probe is kept for the next time."""
        match request:
            case MeasurePeaks(readings):
                return PeaksMeasured(measure_peaks(self._cpus, readings)), {}
            case ReadUnits():
                self._probe = self._probe or open_probe(self._cpus)
                return UnitsRead(self._probe.read()), {}
            case ReadCycles(seconds):
                return CyclesRead(self._read_cycles(seconds)), {}

    def _read_cycles(self, seconds: float) -> tuple[CpuCycles, ...]:
        """One CPU at a time, so that no two of them share a core."""
        reader = self._cycles = self._cycles or CycleReader(units_of_a_core(), counting_chain())
        found: dict[int, CpuCycles] = {}
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for cpu in self._cpus:
                os.sched_setaffinity(0, {cpu})
                for window in reader.read():
                    seen = CpuCycles(cpu, {window.unit: window.per_cycle}, window.hertz)
                    found[cpu] = seen.better_of(found.get(cpu))
        os.sched_setaffinity(0, self._cpus)
        return tuple(found[cpu] for cpu in self._cpus if cpu in found)


def open_probe(cpus: Sequence[int]) -> Probe:
    """A probe of every unit that the CPU has and the kernel permits to this process.

    Tiles are read only where the kernel grants the permission, so never in a jailed child. Raises
    NotApplicableError where no unit can be read, and so nothing would tell quiet from busy.
    """
    return Probe(cpus, _units(), counting_chain)


def measure_peaks(cpus: Sequence[int], readings: int) -> Peaks:
    """What every unit gives on all the CPUs at once, from so many readings of each."""
    probe = Probe(cpus, _units_with_int8(), counting_chain)
    found = [probe.read_sums() for _ in range(readings)]
    rates = {
        unit: Spread(statistics.median(series), min(series), max(series))
        for unit in found[0]
        for series in [[reading[unit] for reading in found]]
    }
    return Peaks(tuple(cpus), rates)


def _units() -> dict[Unit, MakeLoop]:
    flags = set(read_cpuinfo().flags)
    widest = next((each for each in (AVX512, AVX2) if flags.issuperset(each.flags)), None)
    if widest is None:
        raise NotApplicableError(
            "this CPU has neither AVX-512 nor AVX2 with FMA, or /proc/cpuinfo does not list them, "
            "so the probe can read none of its units and nothing would tell quiet from busy; use a "
            "CPU that has them"
        )
    loops: dict[Unit, MakeLoop] = {
        Unit.MEMORY: functools.partial(_memory, widest),
        Unit.FMA: functools.partial(_fma, widest),
    }
    if {"amx_tile", "amx_bf16", "amx_int8"} <= flags and request_tiles().value is not None:
        loops[Unit.TILE] = _bf16_tile
    return loops


def units_of_a_core() -> dict[Unit, Loop]:
    """The loops of the units that a core has to itself; its way to memory is shared."""
    loops = _units_with_int8()
    return {unit: make() for unit, make in loops.items() if unit is not Unit.MEMORY}


def _units_with_int8() -> dict[Unit, MakeLoop]:
    """INT8 shares the tile unit with BF16, so readings of how busy it is do without."""
    loops = _units()
    return {**loops, Unit.TILE_INT8: _int8_tile} if Unit.TILE in loops else loops


def counting_chain() -> Loop:
    """The loop that counts cycles."""
    return Loop(chain_loop(), ADDS_PER_ITERATION)


def _fma(vectors: Vectors) -> Loop:
    return Loop(fma_loop(vectors), vectors.fma_operations)


def _memory(vectors: Vectors) -> Loop:
    import numpy as np

    # Written to: untouched pages would all be one page of zeros, which is in the first cache.
    buffer = np.ones(_STREAM_BYTES, np.uint8)
    stream = stream_loop(vectors)
    blocks = _STREAM_BYTES // vectors.stream_bytes

    def run(passes: int) -> None:
        for _ in range(passes):
            stream(buffer.ctypes.data, blocks)

    return Loop(run, _STREAM_BYTES)


def _bf16_tile() -> Loop:
    return _tile("tdpbf16ps")


def _int8_tile() -> Loop:
    return _tile("tdpbssd")


def _tile(mnemonic: str) -> Loop:
    import numpy as np

    instruction = INSTRUCTIONS[mnemonic]
    shape = (MAX_ROWS, MAX_ROW_BYTES)
    config = np.frombuffer(tile_config([shape] * TILES), np.uint8)
    operands = np.zeros(THROUGHPUT_OPERAND_BYTES, np.uint8)
    multiply = throughput_loop(instruction)
    work = DOTS_PER_ITERATION * instruction.operations(MAX_ROWS, MAX_ROW_BYTES, MAX_ROW_BYTES)
    return Loop(lambda passes: multiply(config.ctypes.data, operands.ctypes.data, passes), work)
