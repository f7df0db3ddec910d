"""The most that each unit of this machine gives, and the share of it that an arm reaches."""

from __future__ import annotations

__all__ = ["CpuCycles", "Peaks", "Spread"]

import msgspec

from amx_suite.core.case import Precision, RunCase
from amx_suite.core.numbers import Rate
from amx_suite.core.units import Unit


class Spread(msgspec.Struct, frozen=True):
    """Median, least and greatest of repeated readings of a rate."""

    median: Rate
    low: Rate
    high: Rate


class CpuCycles(msgspec.Struct, frozen=True):
    """The most that each unit of a CPU did per cycle, and the highest frequency seen in hertz."""

    cpu: int
    best: dict[Unit, Rate]
    hertz: Rate

    def better_of(self, other: CpuCycles | None) -> CpuCycles:
        """The better of both in each unit."""
        if other is None:
            return self
        best = dict(other.best)
        for unit, rate in self.best.items():
            best[unit] = max(rate, best.get(unit, 0.0))
        return CpuCycles(self.cpu, best, max(self.hertz, other.hertz))


class Peaks(msgspec.Struct, frozen=True):
    """What each unit gives on ``cpus`` all at once, summed over them: operations or bytes a second.

    Read by loops that do nothing else (``tmul.loops``), so no program can do better.
    """

    cpus: tuple[int, ...]
    rates: dict[Unit, Spread]

    def of_unit(self, case: RunCase) -> float | None:
        """Operations a second of the unit that the arm may use.

        None where no such unit was read, as for BF16 and INT8 without AMX.
        """
        unit = _unit_of(case)
        return None if unit is None or unit not in self.rates else self.rates[unit].median

    def share(self, case: RunCase, operations: int, seconds: float) -> float | None:
        """Operations a second over the peak of the unit; None where that was not read."""
        peak = self.of_unit(case)
        if peak is None or seconds <= 0:
            return None
        return operations / seconds / peak


def _unit_of(case: RunCase) -> Unit | None:
    if case.precision is Precision.FP32:
        return Unit.FMA
    if not case.isa.allows_amx:
        return None
    return {Precision.BF16: Unit.TILE, Precision.INT8: Unit.TILE_INT8}.get(case.precision)
