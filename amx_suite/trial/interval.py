"""Paired speedup: Hodges-Lehmann estimate of the log ratio, with an exact signed-rank interval.

Source: Hollander, Wolfe, Chicken, "Nonparametric Statistical Methods", 3rd ed., sections 3.2 and
3.3 (estimator and interval associated with Wilcoxon's signed rank statistic).
"""

from __future__ import annotations

__all__ = ["CONFIDENCE", "paired_speedup"]

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from amx_suite.core.verdict import Speedup

if TYPE_CHECKING:
    import numpy as np

CONFIDENCE = 0.99


def paired_speedup(pairs: Sequence[tuple[float, float]]) -> Speedup | None:
    """Speedup from (baseline, candidate) seconds of the same rounds; None without any pair.

    The ratio is exp of the median of all Walsh averages of the log ratios. The interval holds
    every shift that Wilcoxon's exact signed-rank test does not reject; below eight pairs none is
    rejected at 99 %, so there is no interval.
    """
    import numpy as np

    if not pairs:
        return None
    array = np.asarray(pairs, dtype=np.float64)
    if not (np.isfinite(array).all() and (array > 0).all()):
        raise ValueError("a speedup needs positive, finite seconds in every pair")
    logs = np.log(array[:, 0] / array[:, 1])
    walsh = _walsh_averages(logs)
    low, high = _interval(logs, walsh, 1.0 - CONFIDENCE)
    return Speedup(
        ratio=float(np.exp(np.median(walsh))),
        low=None if low is None else float(np.exp(low)),
        high=None if high is None else float(np.exp(high)),
        confidence=CONFIDENCE,
        pairs=len(pairs),
    )


def _walsh_averages(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Sorted averages of all pairs of values, each value paired with itself too."""
    import numpy as np

    rows, columns = np.triu_indices(len(values))
    return np.sort((values[rows] + values[columns]) / 2)


def _interval(
    logs: np.ndarray[Any, Any], walsh: np.ndarray[Any, Any], alpha: float
) -> tuple[float | None, float | None]:
    """The k-th smallest and k-th largest Walsh average, k from the exact null distribution."""
    k = _rank(len(logs), alpha)
    if k == 0:
        return None, None
    return float(walsh[k - 1]), float(walsh[len(walsh) - k])


@functools.cache
def _rank(n: int, alpha: float) -> int:
    """How many values of the signed-rank statistic of n pairs lie in its lower alpha / 2."""
    import numpy as np

    # Each rank joins the positive sum with probability one half: the null distribution of the
    # statistic is the product of (1 + x**rank) / 2 over all ranks.
    distribution = np.ones(1)
    for rank in range(1, n + 1):
        grown = np.zeros(len(distribution) + rank)
        grown[: len(distribution)] += distribution / 2
        grown[rank:] += distribution / 2
        distribution = grown
    return int(np.searchsorted(np.cumsum(distribution), alpha / 2, side="right"))
