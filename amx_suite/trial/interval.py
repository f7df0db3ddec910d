"""Paired speedup: Hodges-Lehmann estimate of the log ratio, with an exact signed-rank interval.

Source: Hollander, Wolfe, Chicken, "Nonparametric Statistical Methods", 3rd ed., sections 3.2 and
3.3 (estimator and interval associated with Wilcoxon's signed rank statistic).
"""

from __future__ import annotations

__all__ = ["CONFIDENCE", "paired_speedup"]

import functools
from collections.abc import Sequence

from amx_suite.core.verdict import Speedup

CONFIDENCE = 0.99


def paired_speedup(pairs: Sequence[tuple[float, float]]) -> Speedup | None:
    """Speedup from (baseline, candidate) seconds of the same rounds; None without any pair.

    The ratio is exp of the median of all Walsh averages of the log ratios. The interval holds
    every shift that Wilcoxon's exact signed-rank test does not reject. Below eight pairs the test
    rejects nothing at 99 %, so there is no interval. Raises ValueError for impossible seconds.
    """
    import numpy as np

    if not pairs:
        return None
    array = np.asarray(pairs, dtype=np.float64)
    if not (np.isfinite(array).all() and (array > 0).all()):
        raise ValueError("a speedup needs positive, finite seconds in every pair")
    logs = np.log(array[:, 0] / array[:, 1])
    rows, columns = np.triu_indices(len(logs))
    walsh = np.sort((logs[rows] + logs[columns]) / 2)
    k = _rank(len(logs), 1.0 - CONFIDENCE)
    return Speedup(
        ratio=float(np.exp(np.median(walsh))),
        low=float(np.exp(walsh[k - 1])) if k else None,
        high=float(np.exp(walsh[-k])) if k else None,
        confidence=CONFIDENCE,
        pairs=len(pairs),
    )


@functools.cache
def _rank(n: int, alpha: float) -> int:
    """Rank k of the interval's bounds among the Walsh averages: k-th smallest, k-th largest.

    k is the number of values of the signed-rank statistic of n pairs in its lower alpha / 2.
    """
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
