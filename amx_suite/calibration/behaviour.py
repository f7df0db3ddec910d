"""From a long series of readings to the quiet reference, and to how the machine behaves."""

from __future__ import annotations

__all__ = ["LEAST_QUIET", "NotQuietError", "TimedReading", "calibrate_from"]

import statistics
from collections.abc import Sequence
from typing import NamedTuple

from amx_suite.core.noise import Calibration, Reading, Reference, Unit
from amx_suite.errors import AmxSuiteError

#: The peak is this quantile of each unit's rates, so that it takes more than a few odd readings to
#: raise it, while a machine that is quiet for a twentieth of the time still shows its quiet state.
_PEAK_QUANTILE = 0.98

#: Readings that must be quiet in all units at once. Fewer are a spike rather than a state: at one
#: reading in about 0.1 s these are 2 s of quiet.
LEAST_QUIET = 20


class NotQuietError(AmxSuiteError):
    """The quiet state was not met for long enough; the message says what was, and what to do."""


class TimedReading(NamedTuple):
    """A reading with the seconds at which it ended, by any clock."""

    seconds: float
    reading: Reading


def calibrate_from(
    series: Sequence[TimedReading], *, machine: dict[str, str], threads: int, taken: str
) -> Calibration:
    """The quiet rates of a machine that is quiet for part of the series.

    Contention only takes away, so the quiet state is the upper mode: readings of which every unit
    is within ``QUIET_WITHIN`` of its peak, the 0.98 quantile of its rates. The reference is the
    median of that mode, which must hold ``LEAST_QUIET`` readings. A host that is busy all the time
    cannot be told from a slower one that is quiet: that rule is ours and this is its limit.

    Raises NotQuietError.
    """
    if len(series) < LEAST_QUIET:
        raise NotQuietError(_words(len(series), len(series)))
    units = tuple(series[0].reading.rates)
    peak = Reference({unit: _quantile(_rates(series, unit), _PEAK_QUANTILE) for unit in units})
    mode = [timed for timed in series if peak.is_quiet(timed.reading)]
    if len(mode) < LEAST_QUIET:
        raise NotQuietError(_words(len(mode), len(series)))
    reference = Reference({unit: statistics.median(_rates(mode, unit)) for unit in units})
    quiet = [reference.is_quiet(timed.reading) for timed in series]
    busy = [timed for timed, was_quiet in zip(series, quiet, strict=True) if not was_quiet]
    return Calibration(
        machine=machine,
        threads=threads,
        taken=taken,
        seconds=series[-1].seconds - series[0].seconds,
        readings=len(series),
        rates=reference.rates,
        quiet_share=statistics.fmean(quiet),
        quiet_seconds=_mean_spell(series, quiet, wanted=True),
        busy_seconds=_mean_spell(series, quiet, wanted=False),
        contended={unit: statistics.median(_rates(busy, unit)) for unit in units if busy},
    )


def _rates(series: Sequence[TimedReading], unit: Unit) -> list[float]:
    return [timed.reading.rates[unit] for timed in series]


def _quantile(values: Sequence[float], share: float) -> float:
    """The value that ``share`` of the values do not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def _mean_spell(
    series: Sequence[TimedReading], quiet: Sequence[bool], *, wanted: bool
) -> float | None:
    """Mean seconds from the first reading of a spell to the first of the next; None without any.

    The last spell ends with the series, so it counts for what was seen of it.
    """
    starts = [
        (timed.seconds, state)
        for index, (timed, state) in enumerate(zip(series, quiet, strict=True))
        if index == 0 or state is not quiet[index - 1]
    ]
    ends = [seconds for seconds, _ in starts[1:]] + [series[-1].seconds]
    spells = [
        end - start for (start, state), end in zip(starts, ends, strict=True) if state is wanted
    ]
    return statistics.fmean(spells) if spells else None


def _words(quiet: int, of: int) -> str:
    return (
        f"the quiet state was met in {quiet} of {of} readings, and {LEAST_QUIET} are needed: no "
        "reference is stored; measure longer with --seconds, or when the machine is quieter"
    )
