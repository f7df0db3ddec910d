"""Whole runs of pytest or a command in forks of this process."""

import os
import sys
from pathlib import Path

import pytest
from processes import Forked

ROOT = Path(__file__).resolve().parents[2]


def run_pytest_in(folder, *arguments, **environ):
    """Run pytest in a folder, in a fork of this process, which has done its imports already."""
    # No test here uses hypothesis, whose import takes a fifth of a run.
    options = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest", "--assert=plain")

    def work():
        # Private: pytest keeps the markers that were declared in this process.
        pytest.mark._markers.clear()
        return pytest.main([*options, *map(str, arguments)])

    return start(folder, work, environ).wait()


def start(folder, work, environ):
    """Start ``work`` in a folder with the checkout, and the user's variables, in a fork."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("AMX_SUITE", "PYTEST_"))}
    own |= {
        # This checkout, even if another one is installed.
        "PYTHONPATH": os.pathsep.join((str(ROOT / "tests" / "selftest"), str(ROOT))),
        "COLUMNS": "150",
        # pytest-benchmark asks git and hg for a project's name, where there are any.
        "PATH": "",
        # Not the user's quiet reference.
        "XDG_DATA_HOME": str(Path(folder).absolute() / "data"),
        **environ,
    }

    def run():
        sys.path.insert(0, str(folder))
        return work()

    return Forked(run, folder, own)
