"""Whole pytest runs of the suite's performance tests on a fake machine."""

import functools
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from amx_suite.child.main import exit_code_of, fork

ROOT = Path(__file__).resolve().parents[3]
_MOST_SECONDS = 120


def forked(arguments, folder, environ, before):
    """Run pytest in a fork of this process, which has done its imports already."""
    reading, writing = os.pipe()

    def run():
        os.dup2(writing, 1)
        os.dup2(writing, 2)
        sys.stdout = sys.stderr = os.fdopen(1, "w", buffering=1, closefd=False)
        os.environ.clear()
        os.environ.update(environ)
        os.chdir(folder)
        signal.alarm(_MOST_SECONDS)
        sys.path.insert(0, str(folder))
        if before is not None:
            before()
        return int(pytest.main(arguments))

    child = fork(run)
    os.close(writing)
    with os.fdopen(reading) as stream:
        text = stream.read()
    return subprocess.CompletedProcess(arguments, exit_code_of(child), text)


@pytest.fixture
def run_suite(run_suite_in, tmp_path):
    """Run pytest in the test's folder; returns the finished process with its ``stdout``."""
    return functools.partial(run_suite_in, tmp_path)


@pytest.fixture(scope="session")
def run_suite_in():
    """As ``run_suite``, but its first argument is the folder."""

    def run(
        folder,
        *arguments,
        machine=None,
        tests=ROOT / "tests" / "performance",
        environ=None,
        before=None,
    ):
        own = {k: v for k, v in os.environ.items() if not k.startswith(("AMX_SUITE", "PYTEST_"))}
        own |= {
            # This checkout, even if another one is installed.
            "PYTHONPATH": os.pathsep.join((str(ROOT / "tests" / "selftest"), str(ROOT))),
            "FAKE_MACHINE": json.dumps(machine or {}),
            "COLUMNS": "150",
            # Not the user's quiet reference.
            "XDG_DATA_HOME": str(Path(folder).absolute() / "data"),
            **(environ or {}),
        }
        command = [
            *("-p", "fake_machine", "-p", "no:cacheprovider"),
            # No test here uses hypothesis, whose import takes a fifth of a run.
            *("--assert=plain", "--noconftest", "-p", "no:hypothesispytest"),
            *(f"--rootdir={ROOT}", f"--config-file={ROOT / 'pytest.ini'}"),
            # First, because --benchmark-compare would take it for its value.
            str(tests),
            *map(str, arguments),
        ]
        return forked(command, folder, own, before)

    return run
