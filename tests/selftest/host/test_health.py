"""The verdict on tile units: healthy, slow, shared with a neighbour, not read."""

import pytest

from amx_suite.core.units import Unit
from amx_suite.core.verdict import Verdict
from amx_suite.host.health import judge_tiles, least_share

pytestmark = pytest.mark.selftest


def units(share, int8=None):
    return {Unit.TILE: 1024 * share, Unit.TILE_INT8: 2048 * (int8 or share), Unit.FMA: 63.0}


@pytest.mark.parametrize("virtual", [False, True])
def test_healthy_units_pass(virtual):
    verdict, reason, _ = judge_tiles({0: units(0.98), 1: units(0.95)}, [0, 1], virtual=virtual)
    assert verdict is Verdict.PASS
    assert "0.95 of theory" in reason


def test_a_slow_unit_fails_on_bare_metal():
    """Known-bad: FMA of the same core is at its full speed."""
    verdict, reason, _ = judge_tiles({0: units(0.98), 1: units(0.4)}, [0, 1], virtual=False)
    assert verdict is Verdict.FAIL
    assert "CPU 1 tile 0.40, CPU 1 tile int8 0.40" in reason


def test_a_slow_unit_in_a_guest_is_inconclusive():
    verdict, _, remedy = judge_tiles({0: units(0.41)}, [0], virtual=True)
    assert verdict is Verdict.INCONCLUSIVE
    assert "another guest" in remedy


def test_int8_is_judged_by_itself():
    verdict, reason, _ = judge_tiles({0: units(0.98, int8=0.5)}, [0], virtual=False)
    assert verdict is Verdict.FAIL
    assert reason.endswith("CPU 0 tile int8 0.50")


def test_a_unit_without_reading_fails():
    assert judge_tiles({0: units(0.98)}, [0, 1], virtual=False)[0] is Verdict.FAIL
    assert least_share({0: units(0.98)}, [0, 1]) == 0.0
