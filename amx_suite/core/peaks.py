"""The highest rate of each unit of this machine, and the share of it that an arm reaches."""

from __future__ import annotations

__all__ = ["MOST_SHARE", "CoreCycles", "Peaks", "Spread"]

import msgspec

from amx_suite.core.case import RunCase
from amx_suite.core.units import Rate, Seconds, Unit

#: No program is faster than the unit that computes it, beyond the noise of two readings. A larger
#: share says that the peak was read too low, beside a neighbour.
MOST_SHARE = 1.05


class Spread(msgspec.Struct, frozen=True):
    """Median, minimum and maximum of repeated readings of a rate."""

    median: Rate
    low: Rate
    high: Rate


class CoreCycles(msgspec.Struct, frozen=True):
    """Operations per cycle of each unit of a core, read one right after the other on that CPU.

    ``hertz`` is the core's frequency beside each unit, ``at_seconds`` the monotonic clock then.
    """

    cpu: int
    per_cycle: dict[Unit, Rate]
    hertz: dict[Unit, Rate]
    at_seconds: Seconds


class Peaks(msgspec.Struct, frozen=True):
    """Rate of each unit summed over ``cpus``, all running at once: operations or bytes a second.

    Read by loops that do nothing else (``tmul.loops``), so no program is faster.
    """

    cpus: tuple[int, ...]
    rates: dict[Unit, Spread]

    def share(self, case: RunCase, operations: int, seconds: float) -> float | None:
        """Operations a second over the highest rate read of the unit that the arm may use.

        None where that unit was not read, and for an arm below its precision's highest ceiling.
        """
        spec = case.precision.spec
        if spec.unit not in self.rates or case.isa is not spec.isas[-1] or seconds <= 0:
            return None
        return operations / seconds / self.rates[spec.unit].high
