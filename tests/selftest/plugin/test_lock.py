"""Two runs that measure never run at once; other runs take no lock."""

import threading
import time
from pathlib import Path

import pytest

from amx_suite.host.lock import MachineLock

pytestmark = pytest.mark.selftest

#: A plugin that comes after the suite's own at the end of a run.
LAST = """
import pytest
from amx_suite.host.lock import MachineLock

@pytest.hookimpl(trylast=True)
def pytest_unconfigure():
    MachineLock().acquire(False, print)
    print("the machine is free")
"""


@pytest.fixture
def held(tmp_path):
    """The fake machine's lock, held by this test."""
    with MachineLock(tmp_path / "machine.lock").acquire(False, pytest.fail) as lock:
        yield lock


def is_waited_for(path):
    inode = Path(path).stat().st_ino
    lines = Path("/proc/locks").read_text().splitlines()
    return any(" -> FLOCK " in line and f":{inode} " in line for line in lines)


def test_second_run_is_refused(run_suite, held):
    done = run_suite()
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: this machine is taken by process" in done.stdout
    assert "wait for it to end, or pass --wait (pytest: --amx-wait)" in done.stdout
    assert "passed" not in done.stdout


def test_second_run_waits(run_suite, held, tmp_path):
    def release_when_waited_for():
        end = time.monotonic() + 60
        while not is_waited_for(tmp_path / "machine.lock") and time.monotonic() < end:
            time.sleep(0.02)  # between two looks
        held.release()

    releasing = threading.Thread(target=release_when_waited_for)
    releasing.start()
    (tmp_path / "last.py").write_text(LAST)
    done = run_suite("--amx-wait", "-q", "-p", "last", "-s")
    releasing.join()
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("waiting for it to end") == 1
    assert "passed" in done.stdout
    assert "the machine is free" in done.stdout, "once the run has ended"


@pytest.mark.parametrize("option", ["--benchmark-disable", "--collect-only", "-k=nothing"])
def test_untimed_runs_take_no_lock(run_suite, held, option):
    done = run_suite(option)
    assert done.returncode in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    assert "taken by" not in done.stdout
