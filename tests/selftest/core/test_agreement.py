"""How close a figure is to its limit, on one scale for all kinds of limits."""

import math

import pytest

from amx_suite.core.agreement import Agreement, Threshold, worst

pytestmark = pytest.mark.selftest


def judged(figure, limit, *, passed=True, **more):
    return Agreement("figure", passed, figure, Threshold(limit, "made up"), **more)


@pytest.mark.parametrize(
    ("agreement", "share"),
    [
        (judged(0.5, 1.25), 0.4),
        (judged(50.0, 30.0, at_least=True, unit="dB"), 0.1),
        (judged(10.0, 30.0, passed=False, at_least=True, unit="dB"), 10.0),
        (judged(0.995, 0.99, at_least=True), 0.5),
        (judged(0.0, 0.0), 0.0),
        (judged(3.0, 0.0, passed=False), math.inf),
        (judged(None, 1.0, note="no error at all"), 0.0),
        (judged(None, 1.0, passed=False, note="the arrays are empty"), math.inf),
    ],
)
def test_error_is_a_share_of_the_allowed(agreement, share):
    assert agreement.share_of_allowed == pytest.approx(share)


def test_worst_of_each_limit_is_kept():
    near, far, other = judged(0.9, 1.0), judged(0.1, 1.0), judged(0.1, 2.0)
    assert worst([far, near, other]) == (near, other)
    broken = judged(None, 1.0, passed=False, note="empty")
    assert worst([broken, near]) == (broken,), "what could not be trusted hides behind no figure"
