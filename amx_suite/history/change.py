"""Whether a gate's speedup changed, in six points.

1. A run's speedup at a gate is the Hodges-Lehmann estimate of its quiet rounds' log ratios, with
   its 99 % signed-rank interval (``trial.interval``).
2. The change is the log of the new run's speedup minus the mean of the base runs' logs.
3. Two launches of the same thing differ by more than their rounds show. With one or two base runs
   this spread is assumed to be ``ASSUMED_SPREAD``, and the scatter of each run's rounds is added.
   Three or more base runs measure it: each gate's logs scatter about their own mean, and the
   variance is pooled over all gates. The assumed variance is pooled with it and counts for
   ``ASSUMED_DEGREES``, since two degrees of freedom alone would find nothing. The measured spread
   includes the scatter of the rounds; if the new run's own scatter is greater, that counts.
4. The interval of the change has a confidence of 99 %. It uses Student's t with the pooled degrees
   of freedom where the spread was measured, else the normal distribution.
5. Worse or better: the interval excludes no change, and the change exceeds the margin. Unchanged:
   neither, and the interval excludes every change of twice the margin.
6. Anything else is inconclusive.

Where both sides take turns in the same rounds (``amx_suite.ab``), each launch has a ratio of its
own (``change_over``): the change is the mean of their logs. Their scatter is the spread between
launches, pooled and with the assumption as in 3; if all rounds together scatter more, that counts.
"""

from __future__ import annotations

__all__ = [
    "ASSUMED_DEGREES",
    "ASSUMED_SPREAD",
    "Change",
    "Estimate",
    "Spread",
    "change_between",
    "change_over",
    "spread_between",
    "verdict_on",
]

import math
import statistics
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import NamedTuple

import msgspec

from amx_suite.core.verdict import Speedup
from amx_suite.trial.interval import CONFIDENCE

#: Standard deviation of the log ratio of two launches of the same thing. Source: 0.65 to 4 % was
#: measured on shared hosts; docs/verdicts.md.
ASSUMED_SPREAD = 0.02

#: Degrees of freedom that the assumption counts for beside what was measured. Source: simulation
#: (benchmarks/simulate_compare.py). Against three base runs of one gate, 10 % slower is found in
#: 26 % of comparisons with 0 and in 93 % with 4. With more, too many comparisons find a change on
#: hosts whose launches differ by more than the assumption.
ASSUMED_DEGREES = 4

#: Base runs that it takes to measure the spread: two give only one difference for each gate.
_FEWEST_FOR_SPREAD = 3

_NORMAL_QUANTILE = statistics.NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


class Change(StrEnum):
    """What happened to a gate's speedup since the base runs."""

    WORSE = "worse"
    BETTER = "better"
    UNCHANGED = "unchanged"
    INCONCLUSIVE = "inconclusive"
    VANISHED = "vanished"


class Spread(msgspec.Struct, frozen=True):
    """Standard deviation of the log ratio of two launches of the same thing.

    ``degrees`` are its degrees of freedom, None where it was only assumed.
    """

    deviation: float
    degrees: int | None = None


class Estimate(NamedTuple):
    """The new speedup (or speed) over the base's, with its interval."""

    ratio: float
    low: float
    high: float

    @property
    def half_width(self) -> float:
        """Half the width of the interval, as a share: 0.03 means up to 3 % more or less."""
        return math.sqrt(self.high / self.low) - 1


def spread_between(gates: Iterable[Sequence[Speedup]]) -> Spread:
    """The spread between base runs, from the speedups of each gate that all of them have."""
    samples = [
        [math.log(base.ratio) for base in bases]
        for bases in gates
        if len(bases) >= _FEWEST_FOR_SPREAD
    ]
    if not samples:
        return Spread(ASSUMED_SPREAD)
    degrees = ASSUMED_DEGREES + sum(len(logs) - 1 for logs in samples)
    squares = sum((log - statistics.fmean(logs)) ** 2 for logs in samples for log in logs)
    variance = (ASSUMED_DEGREES * ASSUMED_SPREAD**2 + 2 * squares) / degrees
    return Spread(math.sqrt(variance), degrees)


def change_between(bases: Sequence[Speedup], new: Speedup, spread: Spread) -> Estimate:
    """The change of one gate; every speedup needs its interval."""
    log = math.log(new.ratio) - statistics.fmean(math.log(base.ratio) for base in bases)
    # The spread belongs to the difference of two launches, so one launch has half its variance.
    of_launch = spread.deviation**2 / 2
    if spread.degrees is None:
        variance = of_launch * (1 + 1 / len(bases))
        variance += _variance(new) + sum(map(_variance, bases)) / len(bases) ** 2
    else:
        variance = of_launch / len(bases) + max(of_launch, _variance(new))
    return _estimate(log, variance, spread)


def change_over(launches: Sequence[Speedup], rounds: Speedup, spread: Spread) -> Estimate:
    """The change that launches measured in which both sides took turns.

    ``launches`` are the speedups of new over base, one for each launch; ``rounds`` is that of all
    their rounds together, and needs its interval.
    """
    log = statistics.fmean(math.log(launch.ratio) for launch in launches)
    variance = max(spread.deviation**2 / 2 / len(launches), _variance(rounds))
    return _estimate(log, variance, spread)


def _estimate(log: float, variance: float, spread: Spread) -> Estimate:
    """The change with this log and the variance of it."""
    if spread.degrees is None:
        quantile = _NORMAL_QUANTILE
    else:
        from scipy.special import stdtrit

        quantile = float(stdtrit(spread.degrees, (1 + CONFIDENCE) / 2))
    half = quantile * math.sqrt(variance)
    return Estimate(math.exp(log), math.exp(log - half), math.exp(log + half))


def verdict_on(change: Estimate, margin: float) -> Change:
    """Points 5 and 6; ``margin`` is a share, such as 0.05."""
    least, most = 1 + margin, 1 + 2 * margin
    if change.high < 1 and change.ratio < 1 / least:
        return Change.WORSE
    if change.low > 1 and change.ratio > least:
        return Change.BETTER
    if 1 / most < change.low and change.high < most:
        return Change.UNCHANGED
    return Change.INCONCLUSIVE


def _variance(speedup: Speedup) -> float:
    """Variance of the log speedup that the scatter of its rounds gives."""
    assert speedup.low is not None  # there are enough rounds
    assert speedup.high is not None
    half = math.log(speedup.high / speedup.low) / 2
    return (half / _NORMAL_QUANTILE) ** 2
