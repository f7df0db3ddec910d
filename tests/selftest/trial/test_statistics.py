"""Speedup and sequential verdict against references and known-bad input."""

import math
import random
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amx_suite.trial.sequential import DECISIVE, e_value, least_not_passed, weigh
from amx_suite.trial.speedup import paired_speedup

pytestmark = pytest.mark.selftest

seconds = st.floats(1e-4, 1e3)


def test_a_constant_ratio_is_found_exactly():
    found = paired_speedup([(6.0 * k, 2.0 * k) for k in range(1, 11)])
    assert found.ratio == pytest.approx(3.0)
    assert found.low == pytest.approx(3.0)
    assert found.high == pytest.approx(3.0)
    assert found.pairs == 10


def test_no_pairs_no_speedup():
    assert paired_speedup([]) is None


@pytest.mark.parametrize(("pairs", "has_interval"), [(5, False), (6, True)])
def test_an_interval_at_95_percent_needs_six_pairs(pairs, has_interval):
    found = paired_speedup([(2.0 + i / 100, 1.0) for i in range(pairs)])
    assert (found.low is not None) is has_interval


@pytest.mark.parametrize("bad", [(0.0, 1.0), (1.0, -1.0), (math.nan, 1.0), (1.0, math.inf)])
def test_impossible_seconds_are_refused(bad):
    with pytest.raises(ValueError, match="positive, finite"):
        paired_speedup([(1.0, 1.0), bad])


@given(st.lists(st.tuples(seconds, seconds), min_size=1, max_size=15))
def test_swapping_the_arms_inverts_the_ratio(pairs):
    there = paired_speedup(pairs)
    back = paired_speedup([(b, a) for a, b in pairs])
    assert there.ratio * back.ratio == pytest.approx(1.0)
    if there.low is not None:
        assert there.low * back.high == pytest.approx(1.0)
        assert there.low <= there.ratio * (1 + 1e-12)


@pytest.mark.parametrize("count", [6, 9, 14, 25])
def test_the_interval_is_where_wilcoxons_exact_test_stops_rejecting(count):
    from scipy import stats  # slow to import, and collecting tests must not be

    generator = np.random.default_rng(count)
    pairs = [(math.exp(x), 1.0) for x in generator.normal(0.7, 0.1, count)]
    found = paired_speedup(pairs)
    logs = np.log([b for b, _ in pairs])

    def rejected(ratio):
        return stats.wilcoxon(logs - math.log(ratio), method="exact").pvalue <= 0.05

    for bound, outward in ((found.low, -1e-9), (found.high, 1e-9)):
        assert rejected(bound * (1 + outward))
        assert not rejected(bound * (1 - outward))


def test_coverage_is_what_it_says():
    generator = random.Random(1)
    hits = 0
    for _ in range(600):
        found = paired_speedup([(2 * math.exp(generator.gauss(0, 0.05)), 1) for _ in range(12)])
        hits += found.low <= 2 <= found.high
    assert 0.93 <= hits / 600 <= 0.975


@pytest.mark.parametrize(("misses", "needed"), [(0, 8), (1, 12), (2, 16)])
def test_fewest_rounds_that_decide(misses, needed):
    assert e_value(needed - misses, needed) >= DECISIVE
    assert e_value(needed - 1 - misses, needed - 1) < DECISIVE


@given(st.integers(0, 60).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_e_value_is_the_mixture_integral(counts):
    above, total = counts
    # E-value by its definition: the likelihood ratio averaged over win rates in (1/2, 1).
    rates = np.linspace(0.5, 1.0, 20001)
    likelihood = (2 * rates) ** above * (2 * (1 - rates)) ** (total - above)
    assert e_value(above, total) == pytest.approx(np.trapezoid(likelihood, rates) * 2, rel=1e-4)


def test_a_fair_coin_is_rarely_decided():
    generator = random.Random(2)
    decided = 0
    for _ in range(1000):
        above = 0
        for total in range(1, 101):
            above += generator.random() < 0.5
            if max(e_value(above, total), e_value(total - above, total)) >= DECISIVE:
                decided += 1
                break
    assert decided <= 1000 * 2 / DECISIVE


def test_many_rounds_do_not_overflow():
    assert math.isfinite(e_value(900, 900))
    assert e_value(900, 900) < e_value(2000, 2000) == sys.float_info.max
    assert e_value(0, 900) < 1


def test_a_ratio_equal_to_the_gate_speaks_for_neither_side():
    assert weigh([2.0] * 50, 2.0) == weigh([], 2.0)
    assert weigh([2.1] * 8, 2.0).e_above >= DECISIVE
    assert weigh([1.9] * 8, 2.0).e_below >= DECISIVE


@given(st.lists(st.floats(0.5, 2.0), min_size=8, max_size=40, unique=True))
def test_the_least_gate_not_passed_is_where_passing_ends(ratios):
    least = least_not_passed(ratios)
    assert weigh(ratios, math.nextafter(least, 3.0)).e_above < DECISIVE
    assert least == min(ratios) or weigh(ratios, math.nextafter(least, 0.0)).e_above >= DECISIVE


def test_without_a_ratio_there_is_no_gate_not_passed():
    with pytest.raises(ValueError, match="no ratio"):
        least_not_passed([])


def test_more_than_all_rounds_is_refused():
    with pytest.raises(ValueError, match="not a count"):
        e_value(3, 2)
