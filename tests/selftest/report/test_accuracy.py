"""Figures of accuracy stand beside their limits, whether they passed or failed."""

import pytest
import sample_runs as runs

from amx_suite.report.accuracy import accuracy_text, figure_table

pytestmark = pytest.mark.selftest


def test_failed_figures_then_the_closest_come_first():
    table = figure_table([runs.ACCURATE, runs.FAILED, runs.SKIPPED])
    assert [tuple(map(str, row[1:])) for row in table.rows] == [
        ("SQNR", "12 dB", "at least 30 dB", "794%", "ours"),
        ("cosine", "0.9998", "at least 0.999", "20%", "theirs"),
        ("SQNR", "50 dB", "at least 30 dB", "10%", "ours"),
    ]


def test_closest_figure_is_named():
    assert accuracy_text([runs.ACCURATE, runs.FAILED]) == (
        "2 of 3 figures within their limits, the closest: cosine 0.9998 against at least 0.999, "
        "20% of the allowed error (correctness/test_c.py::test_e)"
    )


def test_older_files_have_no_figures():
    assert accuracy_text([runs.PASSED]) == "no figure was recorded"
    assert not figure_table([runs.PASSED]).rows
