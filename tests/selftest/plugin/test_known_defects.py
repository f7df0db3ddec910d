"""A failure that a library's defect explains, as the terminal shows it."""

import pytest

from amx_suite.accuracy import known_defects

pytestmark = pytest.mark.selftest

#: Two listed tests: the first fails as listed, the second passes.
TESTS = """
import pytest

pytestmark = pytest.mark.correctness


def test_listed():
    assert False, {message!r}


def test_stale():
    pass
"""
ROW = known_defects.KnownDefect(
    ("test_listed", "test_stale"), "rows [3]", "made-up", ">=1", "issue 7", "harms nobody", "today"
)


@pytest.fixture
def run(run_suite, tmp_path, monkeypatch):
    monkeypatch.setattr(known_defects, "known_defects", lambda: (ROW,))

    def run(*arguments, message="rows [3] differ"):
        path = tmp_path / "test_it.py"
        path.write_text(TESTS.format(message=message))
        return run_suite(*arguments, tests=path)

    return run


def test_known_defect_has_its_count(run):
    done = run()
    assert done.returncode == 0, done.stdout
    assert "1 passed, 1 known defect in" in done.stdout
    assert "test_listed - KNOWN DEFECT: made-up >=1: harms nobody (issue 7)" in done.stdout
    assert "warning: test_stale passed though made-up" in done.stdout


def test_strict_run_fails(run):
    done = run("--amx-strict")
    assert done.returncode == 1
    assert "1 failed, 1 passed" in done.stdout


def test_another_failure_fails(run):
    assert run(message="rows [4] differ").returncode == 1
