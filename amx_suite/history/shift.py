"""Whether two nights' log ratios lie at the same level: two independent samples of rounds.

The shift and its interval are Yuen's: the difference of 20 % trimmed means with a t interval on
Winsorised variances and Welch's degrees of freedom, which a few disturbed rounds do not move and
which does not ask both nights to be equally noisy. Source: Yuen, "The two-sample trimmed t for
unequal population variances", Biometrika 61 (1974).

For "changed" two rank tests must reject as well. Where both nights are draws of one distribution,
of any form, Mann-Whitney's rejects no more often than it says (Hollander, Wolfe, Chicken,
"Nonparametric Statistical Methods", 3rd ed., section 4.1), so twins have that guarantee. Brunner
and Munzel's ("The nonparametric Behrens-Fisher problem", Biometrical Journal 42 (2000)) asks only
whether either night is as likely to have the greater round, however unequal their noise; there
Yuen's alone calls 0.6 to 0.8 % changed at its level of 0.5 %.

Rounds are draws of one launch of each arm. What differs from launch to launch, as the layout of
memory, is in no interval here; the margin of the verdict has to be wider than that.
"""

from __future__ import annotations

__all__ = ["FEWEST_ROUNDS", "Shift", "holm", "level", "shift_between", "why_drifting", "why_mixed"]

import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np

#: With five rounds on each side even a perfect separation has a two-sided Mann-Whitney p of 0.008.
FEWEST_ROUNDS = 6

_TRIM = 0.2
#: Beyond it scipy's exact distribution takes seconds, and the normal one is the same to 1 %.
_MOST_ROUNDS_EXACT = 100

#: A night drifts if its halves differ with this p or less.
_DRIFT_P = 0.005
#: Two groups of rounds are two levels if they are this many of their own standard deviations apart.
_LEVELS_APART = 6.0
#: A group with this share of a night's rounds is where the night is; a smaller one is a visit.
_MOST = 2 / 3


class Shift(NamedTuple):
    """The new level less the base level, as logs, with its interval and its p (two-sided)."""

    estimate: float
    low: float
    high: float
    p: float


def level(logs: Sequence[float]) -> float:
    """The level of a night's log ratios: their 20 % trimmed mean."""
    from scipy import stats

    return float(stats.trim_mean(logs, _TRIM))


def shift_between(base: Sequence[float], new: Sequence[float], confidence: float) -> Shift:
    """Yuen's shift of the log ratios with the largest of the three tests' p.

    Raises ValueError below ``FEWEST_ROUNDS`` on either side.
    """
    from scipy import stats

    if min(len(base), len(new)) < FEWEST_ROUNDS:
        raise ValueError(f"a shift needs {FEWEST_ROUNDS} rounds of each night")
    with warnings.catch_warnings():
        # Rounds may all be alike, as on a fake clock; the interval is then a point, which is right.
        warnings.filterwarnings("ignore", message="Precision loss", category=RuntimeWarning)
        yuen = stats.ttest_ind(new, base, equal_var=False, trim=_TRIM)
    low, high = yuen.confidence_interval(confidence)
    # Two nights without any scatter at the same level have the p of 0 / 0.
    p_yuen = 1.0 if math.isnan(yuen.pvalue) else float(yuen.pvalue)
    middle = float(low + high) / 2
    p = max(p_yuen, _ranks_p(base, new), _unequal_ranks_p(base, new))
    return Shift(middle, float(low), float(high), p)


def _ranks_p(one: Sequence[float], other: Sequence[float]) -> float:
    """Two-sided p of the Mann-Whitney test, exact where there are no ties."""
    import numpy as np
    from scipy import stats

    tied = len(np.unique([*one, *other])) < len(one) + len(other)
    exact = not tied and max(len(one), len(other)) <= _MOST_ROUNDS_EXACT
    return float(stats.mannwhitneyu(one, other, method="exact" if exact else "asymptotic").pvalue)


def _unequal_ranks_p(one: Sequence[float], other: Sequence[float]) -> float:
    """Two-sided p of the Brunner-Munzel test, which allows for unequal noise."""
    from scipy import stats

    # Nights that do not overlap have no variance in it, and its statistic is infinite.
    if max(one) < min(other) or max(other) < min(one):
        return 0.0
    with warnings.catch_warnings():
        # Where all rounds are alike it is 0 / 0.
        warnings.simplefilter("ignore", RuntimeWarning)
        p = float(stats.brunnermunzel(one, other).pvalue)
    return 1.0 if math.isnan(p) else p


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """P values adjusted for there being several, in their order.

    Source: Holm, "A simple sequentially rejective multiple test procedure", Scandinavian Journal
    of Statistics 6 (1979).
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return tuple(adjusted)


def why_drifting(logs: Sequence[float], margin: float) -> str | None:
    """Why a night's rounds do not lie about one level, or None.

    Its halves, in the order in which they ran, must differ by more than ``margin`` (a log) and by
    the Mann-Whitney test.
    """
    import numpy as np

    half = len(logs) // 2
    first, second = float(np.median(logs[:half])), float(np.median(logs[half:]))
    if abs(second - first) <= margin or _ranks_p(logs[:half], logs[half:]) > _DRIFT_P:
        return None
    return f"went from {math.exp(first):.2f}x to {math.exp(second):.2f}x as it ran"


def why_mixed(logs: Sequence[float], other: float, margin: float) -> str | None:
    """Why a night that seems to have left the level ``other`` is perhaps there less often, or None.

    Contention switches a machine between two levels, and a night with more of it looks like a
    change. So it is asked whether the rounds fall into two groups, further apart than ``margin`` (a
    log) and than their scatter, of which the one at ``other`` is not the night's usual one.
    """
    import numpy as np

    ordered = np.sort(np.asarray(logs, dtype=np.float64))
    cut = _best_cut(ordered)
    low, high = float(ordered[:cut].mean()), float(ordered[cut:].mean())
    scatter = ordered[:cut].var() * cut + ordered[cut:].var() * (len(ordered) - cut)
    deviation = math.sqrt(scatter / (len(ordered) - 2))
    at_low = abs(other - low) < abs(other - high)
    share = (cut if at_low else len(ordered) - cut) / len(ordered)
    if high - low <= max(margin, _LEVELS_APART * deviation) or share >= _MOST:
        return None
    return f"has rounds at {math.exp(low):.2f}x and at {math.exp(high):.2f}x, none between"


def _best_cut(ordered: np.ndarray[Any, Any]) -> int:
    """Where to cut sorted values so that two groups have the least scatter about their means."""
    import numpy as np

    centred = ordered - ordered.mean()
    below = np.cumsum(centred)[:-1]
    sizes = np.arange(1, len(ordered))
    # The scatter between the groups' means is what the cut takes away from the whole.
    return int(np.argmax(below**2 / (sizes * (len(ordered) - sizes)))) + 1
