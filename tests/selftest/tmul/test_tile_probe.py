"""The tile probe: CPUs that multiply wrong, kill or hang their fork, or cannot be reached."""

import platform

import pytest

from amx_suite.tmul.tile_probe import TileResult, TileStatus, probe_tiles

pytestmark = pytest.mark.selftest


def test_each_cpu_has_its_own_end():
    results = probe_tiles([4, 1, 2, 3, 0], "fake_tiles:Faulty")
    wrong = results[2].detail
    assert results == (
        TileResult(4, TileStatus.OK),
        TileResult(1, TileStatus.SIGNAL, "SIGILL"),
        TileResult(2, TileStatus.WRONG, wrong),
        TileResult(3, TileStatus.UNPINNED, "EINVAL"),
        TileResult(0, TileStatus.OK),
    )
    assert wrong.startswith("tdpbf16ps on ordinary: 1 of 256 elements differ; first: C[0][3]")


def test_many_cpus_that_hang_are_given_up():
    results = probe_tiles([0, *range(10, 16)], "fake_tiles:Hanging")
    statuses = [TileStatus.OK] + [TileStatus.TIMEOUT] * 4 + [TileStatus.NOT_RUN] * 2
    assert [result.status for result in results] == statuses
    assert results[1].detail == "it did not end within 0.2 s"
    assert results[6].detail == "given up after 4 CPUs that hang"


@pytest.mark.parametrize(
    ("handler", "right", "why"), [("fails", 0, "no ctypes here"), ("EndsOn1", 1, "no libc here")]
)
def test_lost_child_blames_no_cpu(handler, right, why):
    results = probe_tiles([0, 1, 2], f"fake_tiles:{handler}")
    lost = [TileStatus.NOT_RUN] * (3 - right)
    assert [r.status for r in results] == [TileStatus.OK] * right + lost
    assert "before it reached this CPU" in results[-1].detail
    assert why in results[-1].detail


@pytest.mark.skipif(platform.machine() != "x86_64", reason="runs x86-64 code")
def test_real_child_reports_the_jails_refusal():
    refused = TileResult(0, TileStatus.REFUSED, "EPERM")
    assert probe_tiles([0], "fake_tiles:JailedChecks") == (refused,)
