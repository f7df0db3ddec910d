"""Whole pytest runs in forks of this process, most of them on a fake machine."""

import functools
import json
import os
import sys
from pathlib import Path

import pytest
from processes import run_forked

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def run_suite(run_suite_in, tmp_path):
    """Run pytest in the test's folder; returns its ``returncode`` and ``stdout``."""
    return functools.partial(run_suite_in, tmp_path)


@pytest.fixture(scope="session")
def run_suite_in(run_pytest_in):
    """As ``run_suite``, but its first argument is the folder."""

    def run(
        folder,
        *arguments,
        machine=None,
        tests=ROOT / "tests" / "performance",
        root=ROOT,
        **environ,
    ):
        return run_pytest_in(
            folder,
            *("-p", "fake_machine", "--noconftest"),
            *(f"--rootdir={root}", f"--config-file={root / 'pytest.ini'}"),
            # First, because --benchmark-compare would take it for its value.
            tests,
            *arguments,
            FAKE_MACHINE=json.dumps(machine or {}),
            **environ,
        )

    return run


@pytest.fixture(scope="session")
def run_pytest_in():
    """Run pytest in a folder, in a fork of this process, which has done its imports already."""
    return _run_pytest_in


def _run_pytest_in(folder, *arguments, **environ):
    own = {k: v for k, v in os.environ.items() if not k.startswith(("AMX_SUITE", "PYTEST_"))}
    own |= {
        # This checkout, even if another one is installed.
        "PYTHONPATH": os.pathsep.join((str(ROOT / "tests" / "selftest"), str(ROOT))),
        "COLUMNS": "150",
        # Not the user's quiet reference.
        "XDG_DATA_HOME": str(Path(folder).absolute() / "data"),
        **environ,
    }
    # No test here uses hypothesis, whose import takes a fifth of a run.
    options = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "--assert=plain")
    command = [*options, *map(str, arguments)]

    def run():
        sys.path.insert(0, str(folder))
        return int(pytest.main(command))

    return run_forked(run, folder, own)
