"""A slow CPU among many."""

import pytest

from amx_suite.tmul.outliers import slow_ones

pytestmark = pytest.mark.selftest

ALIKE = {cpu: 1000.0 + (cpu * 7) % 5 for cpu in range(16)}


def test_cpus_that_run_alike_are_none():
    assert slow_ones(ALIKE) == {}


def test_a_slow_one_is_named_with_its_share():
    assert slow_ones({**ALIKE, 5: 501.0}) == {5: pytest.approx(0.5, rel=0.01)}


def test_a_quarter_of_slow_ones_does_not_hide_itself():
    assert slow_ones({**ALIKE, 1: 500, 6: 510, 9: 490, 15: 505}).keys() == {1, 6, 9, 15}


def test_a_trifle_is_no_finding():
    assert slow_ones({**dict.fromkeys(range(16), 1000.0), 3: 960.0}) == {}


def test_where_cpus_differ_much_a_little_more_is_no_finding():
    assert slow_ones({cpu: 1000.0 + 40 * cpu for cpu in range(16)}) == {}


def test_a_fast_one_is_no_finding():
    assert slow_ones({**ALIKE, 5: 2000.0}) == {}


def test_too_few_make_no_crowd():
    assert slow_ones({0: 1000.0, 1: 1000.0, 2: 10.0}) == {}
