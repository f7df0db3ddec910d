"""The tile probe: CPUs that multiply wrong, kill the child, or cannot be reached."""

from __future__ import annotations

import platform

import pytest

from amx_suite.tmul.tile_probe import TileResult, TileStatus, TryTile, probe_tiles

pytestmark = pytest.mark.selftest


@pytest.mark.parametrize(
    ("handler", "status", "detail"),
    [
        ("SigillOn1", TileStatus.SIGNAL, "SIGILL"),
        ("SilentOn1", TileStatus.TIMEOUT, "the child gave no answer in time"),
        ("ExitsOn1", TileStatus.NOT_RUN, "it ended by itself with exit code 3 (no libc here)"),
    ],
)
def test_lost_child_belongs_to_its_cpu(
    handler: str, status: TileStatus, detail: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if status is TileStatus.TIMEOUT:
        monkeypatch.setattr(TryTile, "seconds_to_answer", 0.5)
    assert probe_tiles([3, 1, 0], f"fake_tiles:{handler}") == (
        TileResult(3, TileStatus.OK),
        TileResult(1, status, detail),
        TileResult(0, TileStatus.OK),
    )


def test_wrong_or_unreachable_cpu_does_not_end_the_child() -> None:
    results = probe_tiles(range(4), "fake_tiles:WrongOn1UnreachableOn2", max_children=1)
    assert [result.cpu for result in results] == [0, 1, 2, 3]
    assert results[1].status is TileStatus.WRONG
    assert "1 of 256 elements differ; first: C[0][3] of tile 0" in results[1].detail
    assert results[2] == TileResult(2, TileStatus.UNPINNED, "EINVAL")
    assert results[3].status is TileStatus.OK


def test_remaining_cpus_are_given_up() -> None:
    results = probe_tiles(range(8), "fake_tiles:SigillEverywhere", max_children=2)
    assert [r.status for r in results] == [TileStatus.SIGNAL] * 2 + [TileStatus.NOT_RUN] * 6
    assert "given up after 2" in results[-1].detail


def test_failed_start_blames_no_cpu() -> None:
    results = probe_tiles([0, 1], "fake_tiles:fails")
    assert [r.status for r in results] == [TileStatus.NOT_RUN] * 2
    assert "before it reached a CPU" in results[0].detail
    assert "no ctypes here" in results[0].detail


@pytest.mark.skipif(platform.machine() != "x86_64", reason="runs x86-64 code")
def test_real_child_reports_the_jails_refusal() -> None:
    refused = [TileResult(cpu, TileStatus.REFUSED, "EPERM") for cpu in (0, 1)]
    assert probe_tiles([0, 1], "fake_tiles:JailedProbe") == tuple(refused)
