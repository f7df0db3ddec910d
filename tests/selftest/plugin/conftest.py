"""Whole pytest runs of the suite's performance tests on a fake machine."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


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
            *(sys.executable, "-m", "pytest", "-p", "fake_machine", "-p", "no:cacheprovider"),
            # No test here uses hypothesis, whose import takes a fifth of a run.
            *("--assert=plain", "--noconftest", "-p", "no:hypothesispytest"),
            *(f"--rootdir={ROOT}", f"--config-file={ROOT / 'pytest.ini'}"),
            # First, because --benchmark-compare would take it for its value.
            str(tests),
            *map(str, arguments),
        ]
        return subprocess.run(
            command,
            cwd=folder,
            env=own,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=120,
            preexec_fn=before,
            check=False,
        )

    return run
