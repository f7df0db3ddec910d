"""From a long series of readings to the quiet reference, and to how the machine behaves."""

from __future__ import annotations

__all__ = ["LEAST_QUIET", "NotQuietError", "TimedReading", "calibrate_from"]

import statistics
from collections.abc import Sequence
from typing import NamedTuple

from amx_suite.core.noise import Calibration, Reading, Reference, medians, upper_mode
from amx_suite.errors import AmxSuiteError

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

    The reference is the median of the readings' upper mode, which must hold ``LEAST_QUIET`` of
    them. Raises NotQuietError.
    """
    mode = upper_mode([timed.reading for timed in series])
    if len(mode) < LEAST_QUIET:
        raise NotQuietError(_words(len(mode), len(series)))
    reference = Reference(medians(mode))
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
        contended=medians([timed.reading for timed in busy]),
    )


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
