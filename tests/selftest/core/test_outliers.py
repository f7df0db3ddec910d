"""The rule that names slow CPUs and instances: its findings, false alarms and power."""

import numpy as np
import pytest

from amx_suite.core import outliers
from amx_suite.core.outliers import judge_outliers, slow_ones
from amx_suite.core.verdict import Verdict

pytestmark = pytest.mark.selftest

ALIKE = {cpu: 1000.0 + (cpu * 7) % 5 for cpu in range(16)}
#: Instances of 4 cores on machines of 20 to 224 cores.
SIZES = (5, 8, 14, 28, 56)


def test_slow_one_is_named_with_its_share():
    assert slow_ones({**ALIKE, 5: 501.0}) == {5: pytest.approx(0.5, rel=0.01)}


def test_quarter_of_slow_ones_is_found():
    assert slow_ones({**ALIKE, 1: 500, 6: 510, 9: 490, 15: 505}).keys() == {1, 6, 9, 15}


@pytest.mark.parametrize(
    "rates",
    [
        pytest.param({}, id="none"),
        pytest.param(ALIKE, id="alike"),
        pytest.param({**dict.fromkeys(range(16), 1000.0), 3: 960.0}, id="a-little-slower"),
        pytest.param({cpu: 1000.0 + 40 * cpu for cpu in range(16)}, id="all-different"),
        pytest.param({**ALIKE, 5: 2000.0}, id="a-fast-one"),
        pytest.param({**dict.fromkeys(range(3), 1000.0), 3: 10.0}, id="too-few-peers"),
    ],
)
def test_no_finding(rates):
    assert slow_ones(rates) == {}


def test_four_equal_peers_are_enough():
    assert slow_ones({**dict.fromkeys(range(4), 1000.0), 4: 900.0}) == {4: 0.9}


@pytest.fixture
def machines():
    """``machines(parts, count)`` simulates rates of equal parts with 2 % jitter, fixed seed."""
    generator = np.random.default_rng(0)
    return lambda parts, count: generator.normal(1.0, 0.02, (count, parts))


@pytest.mark.parametrize("parts", SIZES)
def test_false_alarms_do_not_grow(machines, monkeypatch, parts):
    """Without the least loss, which hides most of them, they are at the error rate of 1 %."""
    monkeypatch.setattr(outliers, "LEAST_LOSS", 0.0)
    alarms = sum(bool(slow_ones(dict(enumerate(rates)))) for rates in machines(parts, 500))
    # 1 % and two standard deviations of its estimate.
    assert alarms <= 9


@pytest.mark.parametrize("parts", SIZES)
@pytest.mark.parametrize(("loss", "least"), [(0.2, 0.65), (0.4, 0.95)])
def test_slow_one_is_found(machines, parts, loss, least):
    found = 0
    for rates in machines(parts, 100):
        rates[2] *= 1 - loss
        found += slow_ones(dict(enumerate(rates))).keys() == {2}
    assert found >= least * 100


def test_judged_often_costs_no_more_alarms(machines, monkeypatch):
    monkeypatch.setattr(outliers, "LEAST_LOSS", 0.0)
    alarms = 0
    for rates in machines(14 * 8, 250):
        judged = rates.reshape(8, 14)
        alarms += any(slow_ones(dict(enumerate(each)), comparisons=8) for each in judged)
    assert alarms <= 5


def test_slow_one_fails_bare_metal_only():
    slow = {"CPU 5": 0.5}
    verdict, reason, remedy, _ = judge_outliers(slow, virtual=False)
    assert verdict is Verdict.FAIL
    assert reason == "slower than the others: CPU 5 at 50% of their median"
    assert remedy
    guest = judge_outliers(slow, virtual=True)
    assert guest.verdict is Verdict.INCONCLUSIVE
    assert "another guest" in guest.remedy
    assert judge_outliers({}, virtual=False).verdict is Verdict.PASS
