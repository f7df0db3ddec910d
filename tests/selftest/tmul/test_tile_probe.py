"""The tile probe: what the child computes, and what the parent makes of a child that dies."""

from __future__ import annotations

import platform
import struct
from collections.abc import Callable

import pytest

from amx_suite.child.handle import Child
from amx_suite.tmul import tile_child
from amx_suite.tmul.tile_probe import TileResult, TileStatus, TryTile, probe_tiles
from amx_suite.tmul.xcomp import XcompReply

pytestmark = pytest.mark.selftest

on_x86_64 = pytest.mark.skipif(platform.machine() != "x86_64", reason="runs x86-64 code")


def _starting(handler: str) -> Callable[[], Child]:
    return lambda: Child(f"fake_tiles:{handler}", label="tile probe")


def _statuses(results: tuple[TileResult, ...]) -> dict[int, TileStatus]:
    return {result.cpu: result.status for result in results}


@pytest.mark.parametrize("signal_name", ["SIGILL", "SIGSEGV", "SIGKILL"])
def test_a_crash_is_laid_to_its_cpu(signal_name: str) -> None:
    results = probe_tiles([0, 1, 2, 3], start=_starting(f"{signal_name}_ON_1"))
    assert _statuses(results) == {
        0: TileStatus.OK,
        1: TileStatus.SIGNAL,
        2: TileStatus.OK,
        3: TileStatus.OK,
    }
    assert results[1].detail == signal_name


def test_results_come_in_the_order_asked_for() -> None:
    results = probe_tiles([5, 2, 9], start=_starting("SIGILL_ON_2"))
    assert [result.cpu for result in results] == [5, 2, 9]


def test_a_silent_cpu_is_timed_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TryTile, "seconds_to_answer", 0.5)
    results = probe_tiles([0, 1, 2], start=_starting("SilentOn1"))
    assert _statuses(results) == {
        0: TileStatus.OK,
        1: TileStatus.TIMEOUT,
        2: TileStatus.OK,
    }


def test_a_wrong_result_does_not_end_the_child() -> None:
    results = probe_tiles([0, 1, 2], start=_starting("WrongOn1"), max_children=1)
    assert _statuses(results) == {0: TileStatus.OK, 1: TileStatus.WRONG, 2: TileStatus.OK}
    assert results[1].detail.startswith("1 of 256 elements: C[0][0] is")


def test_a_refused_permission_is_every_cpus_outcome() -> None:
    results = probe_tiles([0, 1], start=_starting("Refused"))
    assert [(r.status, r.detail) for r in results] == [(TileStatus.REFUSED, "EPERM")] * 2


def test_an_unreachable_cpu_is_passed_over() -> None:
    results = probe_tiles([0, 1, 2], start=_starting("UnreachableOn1"), max_children=1)
    assert results[1] == TileResult(1, TileStatus.UNPINNED, "EINVAL")
    assert results[2].status is TileStatus.OK


def test_the_rest_is_given_up() -> None:
    results = probe_tiles(range(8), start=_starting("SIGILL_EVERYWHERE"), max_children=2)
    assert [r.status for r in results] == [TileStatus.SIGNAL] * 2 + [TileStatus.NOT_RUN] * 6
    assert "given up after 2" in results[-1].detail


def test_a_failed_start_blames_no_cpu() -> None:
    results = probe_tiles([0, 1], start=_starting("without_llvmlite"))
    assert {r.status for r in results} == {TileStatus.NOT_RUN}
    assert "exit code 3" in results[0].detail
    assert "no llvmlite" in results[0].detail


def test_an_answer_for_another_cpu_is_never_ok() -> None:
    results = probe_tiles([0, 1], start=_starting("AnswersForOthers"), max_children=2)
    assert TileStatus.OK not in {result.status for result in results}


def test_no_cpu_no_child() -> None:
    assert probe_tiles([], start=lambda: pytest.fail("a child was started")) == ()


@on_x86_64
def test_without_permission_the_real_instruction_is_sigill() -> None:
    # True with AMX and without: nobody asked the kernel, so the first tile instruction is illegal.
    results = probe_tiles([0, 1], start=_starting("NeverAsks"))
    assert [(r.status, r.detail) for r in results] == [(TileStatus.SIGNAL, "SIGILL")] * 2


@on_x86_64
def test_in_the_jail_the_real_child_reports_the_refusal() -> None:
    results = probe_tiles([0], start=_starting("Jailed"))
    assert results == (TileResult(0, TileStatus.REFUSED, "EPERM"),)


def _bf16_to_float(data: bytes) -> float:
    value: float = struct.unpack("<f", b"\0\0" + data)[0]
    return value


def test_the_operands_are_laid_out_as_the_instruction_reads_them() -> None:
    # TDPBF16PS in Intel's SDM: C[m][n] sums A[m][2k] B[k][2n] + A[m][2k+1] B[k][2n+1], both
    # operands as rows of 32 BF16 numbers.
    a_bytes, b_bytes = tile_child.tile_bytes()
    a, b = (
        [
            [_bf16_to_float(data[64 * row + 2 * i : 64 * row + 2 * i + 2]) for i in range(32)]
            for row in range(16)
        ]
        for data in (a_bytes, b_bytes)
    )
    product = [
        [
            sum(a[m][2 * k] * b[k][2 * n] + a[m][2 * k + 1] * b[k][2 * n + 1] for k in range(16))
            for n in range(16)
        ]
        for m in range(16)
    ]
    assert product == tile_child.expected_product()


def test_the_expected_product_can_tell_right_from_wrong() -> None:
    product = tile_child.expected_product()
    flat = [value for row in product for value in row]
    assert sum(value == 0 for value in flat) < len(flat) // 8
    # A swapped, shifted or repeated row or column does not go unnoticed.
    assert len({tuple(row) for row in product}) == 16
    assert len({tuple(column) for column in zip(*product, strict=True)}) == 16
    assert product != [list(column) for column in zip(*product, strict=True)]


def test_the_expected_product_depends_on_the_order_of_pairs() -> None:
    # A tile whose rows of B were not interleaved, or whose pairs were swapped, gives other numbers.
    a, b = tile_child.operands()
    swapped = [b[k ^ 1] for k in range(32)]
    halves = [b[k // 2 + 16 * (k % 2)] for k in range(32)]
    for other in (swapped, halves):
        columns = list(zip(*other, strict=True))
        product = [
            [sum(x * y for x, y in zip(row, column, strict=True)) for column in columns]
            for row in a
        ]
        assert product != tile_child.expected_product()


def _outcome(found: list[float]) -> TileResult:
    probe = tile_child.TileProbe(lambda: found, lambda: XcompReply(0), lambda cpu: None)
    return probe.handle(TryTile(4), {})[0].result


def test_only_the_exact_product_is_accepted() -> None:
    right = [float(value) for row in tile_child.expected_product() for value in row]
    assert _outcome(right) == TileResult(4, TileStatus.OK)
    wrong = right.copy()
    wrong[17] += 1.0
    assert _outcome(wrong).status is TileStatus.WRONG
    assert _outcome(wrong).detail.startswith("1 of 256 elements: C[1][1] is")
    unwritten = [*right[:-1], float("nan")]
    assert _outcome(unwritten).detail.startswith("1 of 256 elements: C[15][15] is nan")
