"""Operator tests on a fake machine: right and wrong numbers, with and without kernels on AMX."""

import html
import json
import re
from pathlib import Path

import pytest

pytestmark = pytest.mark.selftest

OPERATORS = Path(__file__).resolve().parents[3] / "tests" / "correctness" / "test_operators.py"
AMX, AVX512, MKL = "brg_matmul:avx10_1_512_amx", "brg_matmul:avx512_core_bf16", "mkl:sgemm"
WRONG_WITH_AMX, WRONG = ("amx",), ("amx", "avx512_bf16")


@pytest.fixture
def run(run_suite, tmp_path):
    def run(*, kernel="", wrong=(), precision="bf16"):
        return run_suite(
            *("-rfs", "-k", f"whole_numbers and linear and {precision}", "--junitxml", "junit.xml"),
            machine={"kernel_of": kernel, "wrong": wrong},
            tests=OPERATORS,
        )

    return run


def figures(folder):
    """What the one test judged, from junit.xml."""
    (text,) = re.findall(r'name="amx_figures" value="(.+?)"', (folder / "junit.xml").read_text())
    return json.loads(html.unescape(text))


def test_right_numbers_on_amx_pass_with_figures(run, tmp_path):
    done = run(kernel=AMX)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
    (found,) = figures(tmp_path)
    assert (found["measure"], found["figure"], found["passed"]) == ("elements that differ", 0, True)


def test_right_without_named_kernel_is_skipped(run):
    done = run(kernel=MKL)
    assert done.returncode == 0, done.stdout
    assert "1 skipped" in done.stdout
    assert "NOT_APPLICABLE: the numbers of linear in BF16 are right, but it ran no" in done.stdout


def test_right_on_other_kernels_fails_but_fp32(run):
    done = run(kernel=AVX512, precision="(bf16 or fp32)")
    assert done.returncode == 1, done.stdout
    assert "1 failed, 1 passed" in done.stdout
    assert "NO_EVIDENCE: the numbers of linear in BF16 are right" in done.stdout
    assert f"it ran: matmul {AVX512} bf16" in done.stdout


@pytest.mark.parametrize(
    ("kernel", "wrong", "sign"), [(AMX, WRONG_WITH_AMX, "passed"), ("", WRONG, "failed")]
)
def test_wrong_numbers_fail_and_leave_sign(run, tmp_path, kernel, wrong, sign):
    done = run(kernel=kernel, wrong=wrong)
    assert done.returncode == 1, done.stdout
    assert "elements that differ fails" in done.stdout
    found = re.findall(
        r'name="amx_without_amx" value="(\w+)"', (tmp_path / "junit.xml").read_text()
    )
    assert set(found) == {sign}
    (figure,) = figures(tmp_path)
    assert figure["figure"] > 0, "that of the run with AMX, which failed"
    assert not figure["passed"]
