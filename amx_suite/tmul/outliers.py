"""Which of many CPUs is slower than the rest, by a rule that one bad CPU cannot bend."""

from __future__ import annotations

__all__ = ["FEWEST", "slow_ones"]

import statistics
from collections.abc import Mapping

#: With fewer than this there is no crowd to stand out from.
FEWEST = 4

#: Makes the median absolute deviation of a normal distribution its standard deviation.
_NORMAL = 1.4826
#: Iglewicz and Hoaglin, How to Detect and Handle Outliers (1993): a modified z-score beyond 3.5.
_BEYOND = 3.5
#: Cores that all run alike have hardly any deviation, and a trifle would stand out; less than this
#: below the median is no finding.
_LEAST_LOSS = 0.05


def slow_ones(rates: Mapping[int, float]) -> dict[int, float]:
    """CPUs whose rate stands out below the others', with their share of the median rate.

    A CPU is slow if it is both more than 5 % below the median and more than 3.5 robust standard
    deviations (1.4826 times the median absolute deviation). None among fewer than ``FEWEST``.
    """
    if len(rates) < FEWEST:
        return {}
    median = statistics.median(rates.values())
    deviation = _NORMAL * statistics.median(abs(rate - median) for rate in rates.values())
    limit = min(median - _BEYOND * deviation, median * (1 - _LEAST_LOSS))
    return {cpu: rate / median for cpu, rate in rates.items() if rate < limit}
