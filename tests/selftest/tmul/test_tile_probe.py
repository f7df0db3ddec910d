"""The tile probe: CPUs that multiply wrong, kill the child, or cannot be reached."""

from __future__ import annotations

import platform
from collections.abc import Callable

import pytest

from amx_suite.child.handle import Child
from amx_suite.tmul.tile_probe import TileResult, TileStatus, TryTile, probe_tiles

pytestmark = pytest.mark.selftest

on_x86_64 = pytest.mark.skipif(platform.machine() != "x86_64", reason="runs x86-64 code")


def _starting(handler: str) -> Callable[[], Child]:
    return lambda: Child(f"fake_tiles:{handler}", label="tile probe")


def _statuses(results: tuple[TileResult, ...]) -> dict[int, TileStatus]:
    return {result.cpu: result.status for result in results}


@pytest.mark.parametrize("signal_name", ["SIGILL", "SIGSEGV", "SIGKILL"])
def test_signal_belongs_to_its_cpu(signal_name: str) -> None:
    results = probe_tiles([3, 1, 0], start=_starting(f"{signal_name}_ON_1"))
    assert results == (
        TileResult(3, TileStatus.OK),
        TileResult(1, TileStatus.SIGNAL, signal_name),
        TileResult(0, TileStatus.OK),
    )


def test_silent_cpu_is_timed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TryTile, "seconds_to_answer", 0.5)
    results = probe_tiles([0, 1, 2], start=_starting("SilentOn1"))
    assert _statuses(results) == {0: TileStatus.OK, 1: TileStatus.TIMEOUT, 2: TileStatus.OK}


def test_wrong_result_does_not_end_the_child() -> None:
    results = probe_tiles([0, 1, 2], start=_starting("WrongOn1"), max_children=1)
    assert _statuses(results) == {0: TileStatus.OK, 1: TileStatus.WRONG, 2: TileStatus.OK}
    assert "1 of 256 elements differ; first: C[0][3] of tile 0" in results[1].detail


def test_refused_permission_is_every_cpus_outcome() -> None:
    results = probe_tiles([0, 1], start=_starting("Refused"))
    assert [(r.status, r.detail) for r in results] == [(TileStatus.REFUSED, "EPERM")] * 2


def test_unreachable_cpu_is_passed_over() -> None:
    results = probe_tiles([0, 1, 2], start=_starting("UnreachableOn1"), max_children=1)
    assert results[1] == TileResult(1, TileStatus.UNPINNED, "EINVAL")
    assert results[2].status is TileStatus.OK


def test_remaining_cpus_are_given_up() -> None:
    results = probe_tiles(range(8), start=_starting("SIGILL_EVERYWHERE"), max_children=2)
    assert [r.status for r in results] == [TileStatus.SIGNAL] * 2 + [TileStatus.NOT_RUN] * 6
    assert "given up after 2" in results[-1].detail


def test_failed_start_blames_no_cpu() -> None:
    results = probe_tiles([0, 1], start=_starting("fails"))
    assert [r.status for r in results] == [TileStatus.NOT_RUN] * 2
    assert "before it reached a CPU" in results[0].detail
    assert "no ctypes here" in results[0].detail


@on_x86_64
def test_real_instruction_without_permission_is_illegal() -> None:
    results = probe_tiles([0, 1], start=_starting("NeverAsks"))
    assert [(r.status, r.detail) for r in results] == [(TileStatus.SIGNAL, "SIGILL")] * 2


@on_x86_64
def test_real_child_reports_the_jails_refusal() -> None:
    results = probe_tiles([0], start=_starting("JailedProbe"))
    assert results == (TileResult(0, TileStatus.REFUSED, "EPERM"),)
