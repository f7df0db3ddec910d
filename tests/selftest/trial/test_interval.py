"""The paired speedup against references and known-bad input."""

import math

import numpy as np
import pytest

from amx_suite.trial.interval import paired_speedup

pytestmark = pytest.mark.selftest


@pytest.mark.parametrize(("pairs", "has_interval"), [(7, False), (8, True)])
def test_an_interval_needs_eight_pairs(pairs, has_interval):
    found = paired_speedup([(2.0 + i / 100, 1.0) for i in range(pairs)])
    assert (found.low is not None) is has_interval
    assert paired_speedup([]) is None


@pytest.mark.parametrize("bad", [(0.0, 1.0), (1.0, -1.0), (math.nan, 1.0), (1.0, math.inf)])
def test_impossible_seconds_are_refused(bad):
    with pytest.raises(ValueError, match="positive, finite"):
        paired_speedup([(1.0, 1.0), bad])


@pytest.mark.parametrize("count", range(1, 16))
@pytest.mark.parametrize("digits", [0, 9], ids=["ties", "all-different"])
def test_swapping_the_arms_inverts_the_ratio(count, digits):
    logs = np.random.default_rng(count).uniform(math.log(1e-4), math.log(1e3), (count, 2))
    pairs = np.exp(logs.round(digits)).tolist()
    there = paired_speedup(pairs)
    back = paired_speedup([(b, a) for a, b in pairs])
    assert there.ratio * back.ratio == pytest.approx(1.0)
    if there.low is not None:
        assert there.low * back.high == pytest.approx(1.0)
        assert there.low <= there.ratio * (1 + 1e-12)


@pytest.mark.parametrize("count", [8, 10, 14, 25])
def test_the_interval_inverts_wilcoxons_exact_test(count):
    from scipy import stats  # slow to import, and collecting tests must not be

    generator = np.random.default_rng(count)
    logs = generator.normal(0.7, 0.1, count)
    found = paired_speedup([(math.exp(x), 1.0) for x in logs])
    walsh = [(one + other) / 2 for i, one in enumerate(logs) for other in logs[i:]]
    assert found.ratio == pytest.approx(math.exp(np.median(walsh)))

    def rejected(ratio):
        return stats.wilcoxon(logs - math.log(ratio), method="exact").pvalue <= 0.01

    for bound, outward in ((found.low, -1e-9), (found.high, 1e-9)):
        assert rejected(bound * (1 + outward))
        assert not rejected(bound * (1 - outward))


def test_ten_pairs_withstand_an_odd_one():
    """What LEAST_ROUNDS rests on; known-bad: with eight pairs the odd one spoils the interval."""
    pairs = [(2.0 + i / 1000, 1.0) for i in range(9)] + [(4.0, 1.0)]
    assert paired_speedup(pairs).high < 3.0
    assert paired_speedup([*pairs[:7], pairs[-1]]).high == pytest.approx(4.0)
