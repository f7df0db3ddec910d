"""Two runs that measure never run at once; other runs take no lock."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from amx_suite.host.lock import MachineLock

pytestmark = pytest.mark.selftest

FOREIGN = """
import pytest

@pytest.mark.performance
def test_of_another_project(): pass
"""
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
    """The fake machine's lock, held by this test, and the machine that has it."""
    path = tmp_path / "held.lock"
    with MachineLock(path).acquire(False, pytest.fail) as lock:
        yield lock, {"lock": str(path)}


def is_waited_for(machine):
    inode = Path(machine["lock"]).stat().st_ino
    lines = Path("/proc/locks").read_text().splitlines()
    return any(" -> FLOCK " in line and f":{inode} " in line for line in lines)


def test_second_run_is_refused(run_suite, held):
    done = run_suite(machine=held[1])
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert "ERROR: this machine is taken by process" in done.stdout
    assert "wait for it to end, or pass --wait (pytest: --amx-wait)" in done.stdout
    assert "passed" not in done.stdout


def test_second_run_waits(run_suite, held):
    lock, machine = held
    with ThreadPoolExecutor() as pool:
        run = pool.submit(run_suite, "--amx-wait", "-q", machine=machine)
        while not is_waited_for(machine) and not run.done():
            time.sleep(0.05)
        lock.release()
        done = run.result()
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("waiting for it to end") == 1
    assert "passed" in done.stdout


@pytest.mark.parametrize("option", ["--benchmark-disable", "--collect-only", "-k=nothing"])
def test_untimed_runs_take_no_lock(run_suite, held, option):
    done = run_suite(option, machine=held[1])
    assert done.returncode in (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
    assert "taken by" not in done.stdout


def test_other_projects_take_no_lock(run_suite, held, tmp_path):
    (tmp_path / "test_foreign.py").write_text(FOREIGN)
    done = run_suite(machine=held[1], tests=tmp_path / "test_foreign.py")
    assert done.returncode == 0, done.stdout


def test_end_of_run_frees_it(run_suite, tmp_path):
    (tmp_path / "last.py").write_text(LAST)
    done = run_suite("-p", "last", "-s")
    assert done.returncode == 0, done.stdout
    assert "the machine is free" in done.stdout
