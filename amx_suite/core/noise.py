"""How quiet the machine was: readings of its units, and the reference they are held against."""

from __future__ import annotations

__all__ = [
    "CALIBRATION_SCHEMA",
    "QUIET_WITHIN",
    "Calibration",
    "Reading",
    "Reference",
    "Unit",
    "best_seen",
    "medians",
    "upper_mode",
]

import statistics
from collections.abc import Iterable, Sequence
from enum import StrEnum

import msgspec

from amx_suite.core.numbers import Rate

#: A reading is quiet if every unit is within this factor of its quiet rate. A neighbour on the
#: same core takes half of the tile unit and at least a third of the vector unit away; clock and
#: timer ticks change a reading of 20 ms by a few per cent.
QUIET_WITHIN = 1.25

#: The peak is this quantile of each unit's rates, so that it takes more than a few odd readings to
#: raise it, while a machine that is quiet for a twentieth of the time still shows its quiet state.
_PEAK_QUANTILE = 0.98

#: Raised whenever a stored calibration changes its meaning or layout.
CALIBRATION_SCHEMA = 1


class Unit(StrEnum):
    """A part of the machine that arms contend for with their neighbours."""

    TILE = "tile"
    TILE_INT8 = "tile int8"
    FMA = "fma"
    MEMORY = "memory"

    @property
    def rate_unit(self) -> str:
        """What a rate of this unit counts: operations or bytes a second, of one CPU."""
        return "bytes/s" if self is Unit.MEMORY else "operations/s"


class Reading(msgspec.Struct, frozen=True):
    """What each unit gave within about 20 ms, all bound CPUs at once: the slowest CPU's rate."""

    rates: dict[Unit, Rate]


class Reference(msgspec.Struct, frozen=True):
    """The rates of this machine when nobody contends for it.

    ``weak`` marks the best that a trial happened to see, used where none is stored: on a host that
    is always busy it takes busy for quiet.
    """

    rates: dict[Unit, float]
    weak: bool = False

    def shortfall(self, reading: Reading, unit: Unit) -> float:
        """Quiet rate over the reading's rate; infinite if it was not read."""
        rate = reading.rates.get(unit, 0.0)
        return self.rates[unit] / rate if rate > 0 else float("inf")

    def is_quiet(self, reading: Reading) -> bool:
        """Whether every unit gave its quiet rate, within ``QUIET_WITHIN``."""
        return all(self.shortfall(reading, unit) <= QUIET_WITHIN for unit in self.rates)

    def busiest(self, readings: Iterable[Reading]) -> tuple[Unit, float] | None:
        """The unit that most often fell short, and the greatest shortfall; None if none did."""
        short: dict[Unit, list[float]] = {unit: [] for unit in self.rates}
        for reading in readings:
            for unit, found in short.items():
                found += [s for s in [self.shortfall(reading, unit)] if s > QUIET_WITHIN]
        most = max(self.rates, key=lambda unit: len(short[unit]))
        return (most, max(short[most])) if short[most] else None


def upper_mode(readings: Sequence[Reading]) -> tuple[Reading, ...]:
    """The readings of the quiet state, as far as they tell it themselves.

    Contention only takes away, so that is the upper mode: every unit is within ``QUIET_WITHIN`` of
    its peak, the 0.98 quantile of its rates. None where the units are never at their best together.
    A host that is busy all the time cannot be told from a slower one that is quiet: that rule is
    ours and this is its limit.
    """
    peaks = _peaks(readings)
    return tuple(reading for reading in readings if peaks.is_quiet(reading))


def medians(readings: Sequence[Reading]) -> dict[Unit, float]:
    """Each unit's median rate; empty without a reading."""
    return {unit: statistics.median(rates) for unit, rates in _series(readings).items()}


def best_seen(readings: Iterable[Reading]) -> Reference | None:
    """The quiet state as these readings tell it, as a weak reference; None without any rate.

    Where the units are never at their best together, each unit's peak has to serve.
    """
    found = tuple(readings)
    rates = medians(upper_mode(found)) or _peaks(found).rates
    return Reference(rates, weak=True) if rates else None


def _peaks(readings: Sequence[Reading]) -> Reference:
    found = {unit: sorted(rates) for unit, rates in _series(readings).items()}
    return Reference(
        {unit: r[min(len(r) - 1, int(_PEAK_QUANTILE * len(r)))] for unit, r in found.items()}
    )


def _series(readings: Sequence[Reading]) -> dict[Unit, list[float]]:
    """The rates of each unit that the first reading has."""
    units = readings[0].rates if readings else ()
    return {unit: [reading.rates[unit] for reading in readings] for unit in units}


class Calibration(msgspec.Struct, frozen=True):
    """A stored reference, with the machine it belongs to and how that machine behaved.

    ``machine`` are its traits (``host.host_traits``) and ``threads`` the CPUs that were read at
    once; ``quiet_share`` is the share of the readings that were quiet, ``quiet_seconds`` and
    ``busy_seconds`` the mean length of a quiet and of a busy spell (None if there was none), and
    ``contended`` each unit's median rate in busy readings, empty where there were none.
    """

    machine: dict[str, str]
    threads: int
    taken: str
    seconds: float
    readings: int
    rates: dict[Unit, float]
    quiet_share: float
    quiet_seconds: float | None
    busy_seconds: float | None
    contended: dict[Unit, float]
    schema_version: int = CALIBRATION_SCHEMA

    @property
    def reference(self) -> Reference:
        """The rates alone, as trials use them."""
        return Reference(self.rates)
