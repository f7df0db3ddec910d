"""The tile probe: what the child computes, and what the parent makes of a child that dies."""

from __future__ import annotations

import platform
import struct
import subprocess
import sys

import pytest

from amx_suite.tmul import tile_child
from amx_suite.tmul.tile_probe import TileResult, TileStatus, probe_tiles

pytestmark = pytest.mark.selftest

on_x86_64 = pytest.mark.skipif(platform.machine() != "x86_64", reason="runs x86-64 code")


def _program(body: str) -> tuple[str, ...]:
    """A child that runs ``body`` for each ``cpu`` it is given, with ``say`` to answer."""
    indented = "\n".join(f"    {line}" for line in body.splitlines())
    return (
        sys.executable,
        "-c",
        "import os, signal, sys, time\n"
        "def say(*words): print(*words, flush=True)\n"
        "for cpu in map(int, sys.argv[1].split(',')):\n" + indented,
    )


def _kill_on(cpu: int, signal_name: str) -> tuple[str, ...]:
    return _program(
        f"say('try', cpu)\nif cpu == {cpu}: os.kill(os.getpid(), signal.{signal_name})\n"
        "say('ok', cpu)"
    )


def _statuses(results: tuple[TileResult, ...]) -> dict[int, TileStatus]:
    return {result.cpu: result.status for result in results}


@pytest.mark.parametrize("signal_name", ["SIGILL", "SIGSEGV", "SIGKILL"])
def test_a_crash_is_laid_to_its_cpu_and_the_others_are_tried(signal_name: str) -> None:
    results = probe_tiles([0, 1, 2, 3], program=_kill_on(1, signal_name))
    assert _statuses(results) == {
        0: TileStatus.OK,
        1: TileStatus.SIGNAL,
        2: TileStatus.OK,
        3: TileStatus.OK,
    }
    assert results[1].detail == signal_name


def test_results_come_in_the_order_asked_for() -> None:
    results = probe_tiles([5, 2, 9], program=_kill_on(2, "SIGILL"))
    assert [result.cpu for result in results] == [5, 2, 9]


def test_a_cpu_that_never_answers_is_timed_out_and_the_others_are_tried() -> None:
    program = _program("say('try', cpu)\nif cpu == 1: time.sleep(600)\nsay('ok', cpu)")
    results = probe_tiles([0, 1, 2], program=program, timeout_seconds=0.5)
    assert _statuses(results) == {
        0: TileStatus.OK,
        1: TileStatus.TIMEOUT,
        2: TileStatus.OK,
    }


def test_a_wrong_result_does_not_end_the_child() -> None:
    program = _program("say('try', cpu)\nsay('wrong' if cpu == 1 else 'ok', cpu, 'C[0][0] is 1.0')")
    results = probe_tiles([0, 1, 2], program=program, max_children=1)
    assert _statuses(results) == {0: TileStatus.OK, 1: TileStatus.WRONG, 2: TileStatus.OK}
    assert results[1].detail == "C[0][0] is 1.0"


def test_a_refused_permission_is_every_cpus_outcome() -> None:
    results = probe_tiles([0, 1], program=_program("say('refused', 'EPERM')"))
    assert [(r.status, r.detail) for r in results] == [(TileStatus.REFUSED, "EPERM")] * 2


def test_a_cpu_that_cannot_be_reached_is_said_and_passed_over() -> None:
    program = _program(
        "if cpu == 1: say('unpinned', cpu, 'EINVAL'); continue\nsay('try', cpu)\nsay('ok', cpu)"
    )
    results = probe_tiles([0, 1, 2], program=program, max_children=1)
    assert results[1] == TileResult(1, TileStatus.UNPINNED, "EINVAL")
    assert results[2].status is TileStatus.OK


def test_when_every_cpu_kills_its_child_the_rest_is_given_up() -> None:
    program = _program("say('try', cpu)\nos.kill(os.getpid(), signal.SIGILL)")
    results = probe_tiles(range(8), program=program, max_children=2)
    assert [r.status for r in results] == [TileStatus.SIGNAL] * 2 + [TileStatus.NOT_RUN] * 6
    assert "given up after 2" in results[-1].detail


def test_a_child_that_dies_before_it_tries_blames_no_cpu() -> None:
    program = _program("sys.stderr.write('ImportError: no llvmlite'); sys.exit(3)")
    results = probe_tiles([0, 1], program=program)
    assert {r.status for r in results} == {TileStatus.NOT_RUN}
    assert "exit code 3" in results[0].detail
    assert "no llvmlite" in results[0].detail


@pytest.mark.parametrize(
    "answer", ["say('ok', cpu)", "say('try', cpu)\nsay('ok', cpu + 1)", "say('fine')"]
)
def test_an_answer_to_no_question_is_never_ok(answer: str) -> None:
    results = probe_tiles([0, 1], program=_program(answer), max_children=2)
    assert TileStatus.OK not in {result.status for result in results}


def test_no_cpu_no_child() -> None:
    assert probe_tiles([], program=("/no/such/program",)) == ()


@on_x86_64
def test_without_the_permission_the_real_instruction_is_sigill_on_every_cpu() -> None:
    # True with AMX and without: nobody asked the kernel, so the first tile instruction is illegal.
    program = (
        sys.executable,
        "-c",
        (
            "import resource, sys\nfrom amx_suite.tmul import tile_child\n"
            "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
            "cpus = [int(cpu) for cpu in sys.argv[1].split(',')]\n"
            "tile_child.try_cpus(cpus, tile_child.make_multiply(), move_to=lambda cpu: None)"
        ),
    )
    results = probe_tiles([0, 1], program=program)
    assert [(r.status, r.detail) for r in results] == [(TileStatus.SIGNAL, "SIGILL")] * 2


@on_x86_64
def test_in_the_jail_the_real_child_reports_the_refusal() -> None:
    child = (sys.executable, "-m", "amx_suite.tmul.tile_child", "0")
    done = subprocess.run(
        [sys.executable, "-m", "amx_suite.worker.jail", *child],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "refused EPERM\n")


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


def _outcome(found: list[float]) -> list[str]:
    said: list[str] = []
    tile_child.try_cpus([4], lambda: found, move_to=lambda cpu: None, say=said.append)
    return said


def test_the_child_accepts_the_exact_product_only() -> None:
    right = [float(value) for row in tile_child.expected_product() for value in row]
    assert _outcome(right) == ["try 4", "ok 4"]
    wrong = right.copy()
    wrong[17] += 1.0
    assert _outcome(wrong)[1].startswith("wrong 4 1 of 256 elements: C[1][1] is")
    unwritten = [*right[:-1], float("nan")]
    assert _outcome(unwritten)[1].startswith("wrong 4 1 of 256 elements: C[15][15] is nan")


def test_the_child_says_which_cpu_it_cannot_reach() -> None:
    def move_to(cpu: int) -> None:
        raise OSError(22, "Invalid argument")

    said: list[str] = []
    tile_child.try_cpus([9], list, move_to=move_to, say=said.append)
    assert said == ["unpinned 9 EINVAL"]
