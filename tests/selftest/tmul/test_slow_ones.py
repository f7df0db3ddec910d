"""A slow CPU among many."""

import pytest

from amx_suite.tmul.probe import slow_ones

pytestmark = pytest.mark.selftest

ALIKE = {cpu: 1000.0 + (cpu * 7) % 5 for cpu in range(16)}


def test_slow_cpu_is_named_with_its_share():
    assert slow_ones({**ALIKE, 5: 501.0}) == {5: pytest.approx(0.5, rel=0.01)}


def test_quarter_of_slow_cpus_is_found():
    assert slow_ones({**ALIKE, 1: 500, 6: 510, 9: 490, 15: 505}).keys() == {1, 6, 9, 15}


@pytest.mark.parametrize(
    "rates",
    [
        pytest.param(ALIKE, id="alike"),
        pytest.param({**dict.fromkeys(range(16), 1000.0), 3: 960.0}, id="a-little-slower"),
        pytest.param({cpu: 1000.0 + 40 * cpu for cpu in range(16)}, id="all-different"),
        pytest.param({**ALIKE, 5: 2000.0}, id="a-fast-one"),
        pytest.param({0: 1000.0, 1: 1000.0, 2: 10.0}, id="too-few"),
    ],
)
def test_no_finding(rates):
    assert slow_ones(rates) == {}
