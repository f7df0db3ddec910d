"""What quiet means: readings of the machine's units, and the rates of an undisturbed machine."""

from __future__ import annotations

__all__ = [
    "CALIBRATION_SCHEMA",
    "MEMORY_WITHIN",
    "QUIET_WITHIN",
    "Calibration",
    "Reading",
    "Reference",
]

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

import msgspec

from amx_suite.core.units import Count, Duration, Rate, Share, Unit

#: A reading is quiet if every unit of a core is within this factor of its reference. A neighbour on
#: the same core leaves 0.40 to 0.43 of the tile unit; undisturbed it gives 0.93 to 1.0 of theory
#: (docs/measured.md).
QUIET_WITHIN = 1.10

#: The same for memory, which all cores share: its rate never stands still. On a shared host it has
#: a standard deviation of 17 %, and drifts for minutes (docs/measured.md).
MEMORY_WITHIN = 1.25

#: The best of a series of readings is this quantile, so that no single odd reading decides. The
#: best readings of memory are spikes, so its reference is the median.
_BEST_QUANTILE = 0.98
_MEMORY_QUANTILE = 0.5

#: Raised whenever a stored calibration changes its meaning or layout.
CALIBRATION_SCHEMA = 4


class Reading(msgspec.Struct, frozen=True):
    """Rate of each unit on the slowest of the bound CPUs, all read at once within about 20 ms.

    In operations per core cycle, so that frequency does not matter; memory in bytes a second.
    """

    rates: Annotated[dict[Unit, Rate], msgspec.Meta(min_length=1)]


class Reference(msgspec.Struct, frozen=True):
    """Rate of each unit when nobody contends for it, as in ``Reading``.

    ``below`` maps each unit that never reached its theory to the best share of it that was read.
    That best is then its rate. A neighbour who never leaves looks the same.
    """

    rates: dict[Unit, Rate]
    below: dict[Unit, Share] = {}

    @classmethod
    def of(cls, readings: Sequence[Reading], theory: Mapping[Unit, float]) -> Reference:
        """Each unit's theory where the readings reach it within ``QUIET_WITHIN``, else their best.

        A unit that is not in ``theory`` has the best reading; memory, which is never in it, has
        the median. Raises ValueError without a reading.
        """
        if not readings:
            raise ValueError("a reference needs at least one reading")
        best = {unit: _upper(readings, unit) for unit in readings[0].rates}
        rates, below = dict(best), {}
        for unit, rate in best.items():
            if unit not in theory:
                continue
            if rate * QUIET_WITHIN >= theory[unit]:
                rates[unit] = theory[unit]
            else:
                below[unit] = rate / theory[unit]
        return cls(rates, below)

    def only(self, units: Iterable[Unit]) -> Reference:
        """The same reference for these units only."""
        wanted = set(units)
        return Reference(
            {unit: rate for unit, rate in self.rates.items() if unit in wanted},
            {unit: share for unit, share in self.below.items() if unit in wanted},
        )

    def share(self, reading: Reading, unit: Unit) -> float:
        """The reading's rate over the reference; 0 if the unit was not read."""
        return reading.rates.get(unit, 0.0) / self.rates[unit]

    def is_quiet(self, reading: Reading) -> bool:
        """Whether every unit is close enough to its reference."""
        return all(self._is_free(reading, unit) for unit in self.rates)

    def busiest(self, readings: Iterable[Reading]) -> tuple[Unit, float] | None:
        """The unit that fell short most often, with its least share; None if none did."""
        short: dict[Unit, list[float]] = {unit: [] for unit in self.rates}
        for reading in readings:
            for unit, shares in short.items():
                if not self._is_free(reading, unit):
                    shares.append(self.share(reading, unit))
        most = max(short, key=lambda unit: len(short[unit]))
        return (most, min(short[most])) if short[most] else None

    def _is_free(self, reading: Reading, unit: Unit) -> bool:
        within = MEMORY_WITHIN if unit is Unit.MEMORY else QUIET_WITHIN
        return self.share(reading, unit) * within >= 1.0


def _upper(readings: Sequence[Reading], unit: Unit) -> float:
    ordered = sorted(reading.rates.get(unit, 0.0) for reading in readings)
    quantile = _MEMORY_QUANTILE if unit is Unit.MEMORY else _BEST_QUANTILE
    return ordered[min(len(ordered) - 1, int(quantile * len(ordered)))]


class Calibration(msgspec.Struct, frozen=True):
    """A stored reference, with the machine it belongs to.

    ``machine`` are its traits (``host.host_traits``), ``cores`` the number of cores that were
    read at once, ``quiet_share`` the share of the ``readings`` that were quiet.
    """

    machine: dict[str, str]
    cores: Count
    taken: str
    seconds: Duration
    readings: Count
    quiet_share: Share
    reference: Reference
    schema_version: int = CALIBRATION_SCHEMA
