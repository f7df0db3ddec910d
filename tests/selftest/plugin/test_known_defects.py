"""A failure that a library's defect explains, as the terminal shows it."""

import pytest

pytestmark = pytest.mark.selftest

#: Two listed tests: the first fails as listed, the second passes.
TESTS = """
import pytest
from amx_suite.accuracy import known_defects

ROW = known_defects.KnownDefect(
    ("test_listed", "test_stale"), "rows [3]", "made-up", ">=1", "issue 7", "harms nobody", "today"
)
known_defects.known_defects = lambda: (ROW,)
pytestmark = pytest.mark.correctness


def test_listed():
    assert {message}


def test_stale():
    pass
"""
EXPECTED = 'not "rows [3]"'


@pytest.fixture
def run(run_suite_in, tmp_path):
    def run(*arguments, message=EXPECTED):
        path = tmp_path / "test_it.py"
        path.write_text(TESTS.replace("{message}", message))
        return run_suite_in(tmp_path, *arguments, tests=path)

    return run


def test_known_defect_has_its_count(run):
    done = run("--amx-output", "out")
    assert done.returncode == 0, done.stdout
    assert "1 passed, 1 known defect in" in done.stdout
    assert "test_listed - KNOWN DEFECT: made-up >=1: harms nobody (issue 7)" in done.stdout
    assert "warning: test_stale passed though made-up" in done.stdout


def test_strict_run_fails(run):
    done = run("--amx-strict")
    assert done.returncode == 1
    assert "1 failed, 1 passed" in done.stdout


def test_another_failure_fails(run):
    assert run(message='not "rows [4]"').returncode == 1
