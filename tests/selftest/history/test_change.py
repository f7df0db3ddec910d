"""The rule of ``history.change`` on made-up speedups."""

import math

import pytest

from amx_suite.core.verdict import Speedup
from amx_suite.history.change import (
    ASSUMED_DEGREES,
    ASSUMED_SPREAD,
    Change,
    Estimate,
    Spread,
    change_between,
    change_over,
    spread_between,
    verdict_on,
)

pytestmark = pytest.mark.selftest

#: Quantiles of 99 %: normal, and Student's t with 8 degrees of freedom, from printed tables.
Z, T8 = 2.5758, 3.3554


def speedup(log, deviation=0.0):
    """A speedup whose 99 % interval is that of a normal log with this standard deviation."""
    half = Z * deviation
    return Speedup(math.exp(log), math.exp(log - half), math.exp(log + half), 0.99, 12)


def half(change):
    """Half the width of the interval of the log."""
    return math.log(change.high / change.low) / 2


@pytest.mark.parametrize(
    "gates", [[], [[speedup(0.1)]], [[speedup(0.1), speedup(0.2)]]], ids=["no gate", "one", "two"]
)
def test_fewer_than_three_bases_measure_nothing(gates):
    assert spread_between(gates) == Spread(ASSUMED_SPREAD)


def test_spread_is_pooled_over_gates():
    """Variances 1e-4 and 4e-4 of one launch, about means far apart."""
    gates = [
        [speedup(mean + d * scale) for d in (-1, 0, 1)] for mean, scale in [(0, 0.01), (2, 0.02)]
    ]
    found = spread_between(gates)
    assert found.degrees == ASSUMED_DEGREES + 4
    measured, assumed = 2 * 2.5e-4, ASSUMED_SPREAD**2
    assert found.deviation == pytest.approx(math.sqrt((4 * assumed + 4 * measured) / 8))


def test_change_is_new_minus_mean_of_logs():
    bases = [speedup(log) for log in (1.0, 1.1, 1.2)]
    found = change_between(bases, speedup(0.9), Spread(0.02, 8))
    assert math.log(found.ratio) == pytest.approx(-0.2)
    assert found.low * found.high == pytest.approx(found.ratio**2)


def test_assumed_spread_adds_to_rounds_scatter():
    one = change_between([speedup(0, 0.03)], speedup(0, 0.04), Spread(0.02))
    assert half(one) == pytest.approx(Z * math.sqrt(0.02**2 + 0.03**2 + 0.04**2), rel=1e-4)
    two = change_between([speedup(0, 0.03)] * 2, speedup(0, 0.04), Spread(0.02))
    variance = 0.02**2 / 2 * 1.5 + 2 * 0.03**2 / 4 + 0.04**2
    assert half(two) == pytest.approx(Z * math.sqrt(variance), rel=1e-4)


def test_measured_spread_includes_rounds_scatter():
    found = change_between([speedup(0, 0.03)] * 5, speedup(0, 0.01), Spread(0.02, 8))
    assert half(found) == pytest.approx(T8 * math.sqrt(0.02**2 / 2 * 1.2), rel=1e-4)


def test_noisier_new_run_widens_the_interval():
    found = change_between([speedup(0, 0.01)] * 5, speedup(0, 0.04), Spread(0.02, 8))
    assert half(found) == pytest.approx(T8 * math.sqrt(0.02**2 / 10 + 0.04**2), rel=1e-4)


@pytest.mark.parametrize(
    ("log", "half_width", "change"),
    [
        (-0.06, 0.05, Change.WORSE),
        (0.06, 0.05, Change.BETTER),
        (0.0, 0.09, Change.UNCHANGED),
        (-0.04, 0.01, Change.UNCHANGED),
        (-0.06, 0.07, Change.INCONCLUSIVE),
        (0.0, 0.10, Change.INCONCLUSIVE),
        (0.0, 0.0, Change.UNCHANGED),
    ],
    ids=["worse", "better", "same", "sure but small", "open", "wide", "no scatter"],
)
def test_verdict_needs_size_and_certainty(log, half_width, change):
    estimate = Estimate(*map(math.exp, (log, log - half_width, log + half_width)))
    assert verdict_on(estimate, 0.05) is change


def test_change_over_launches_is_their_mean():
    launches = [speedup(log) for log in (-0.1, -0.2, -0.15, -0.11)]
    found = change_over(launches, speedup(-0.1, 0.001), Spread(0.02, 8))
    assert math.log(found.ratio) == pytest.approx(-0.14)
    # A launch has half the variance of a difference of two.
    assert half(found) == pytest.approx(T8 * 0.02 / math.sqrt(2 * 4), rel=1e-3)
    assert found.half_width == pytest.approx(math.exp(half(found)) - 1)


def test_scattered_rounds_widen_the_change_over_launches():
    launches = [speedup(0.0)] * 4
    found = change_over(launches, speedup(0.0, 0.05), Spread(0.02, 8))
    assert half(found) == pytest.approx(T8 * 0.05, rel=1e-3)
    assert half(change_over(launches, speedup(0.0, 0.001), Spread(0.02))) == pytest.approx(
        Z * 0.02 / math.sqrt(8), rel=1e-3
    )
