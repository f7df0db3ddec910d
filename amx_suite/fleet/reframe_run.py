"""Starts ReFrame with the shipped test, one job for each node; and where the shipped files are."""

from __future__ import annotations

__all__ = ["SHIPPED", "reframe_command"]

import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from amx_suite.errors import UsageError

#: The files for other programs, by what ``amx-suite fleet path`` calls them.
SHIPPED = {
    "test": Path(__file__).with_name("reframe_test.py"),
    "health-check": Path(__file__).with_name("health-check.sh"),
}

_MAIN = "import sys; from reframe.frontend.cli import main; sys.argv[0] = 'reframe'; main()"


def reframe_command(results: Path, level: int, arguments: Sequence[str]) -> list[str]:
    """ReFrame's command line for one job on each node; the user's ``arguments`` come last.

    Raises UsageError where ReFrame is not installed.
    """
    if find_spec("reframe") is None:
        raise UsageError("fleet run needs ReFrame: pip install 'amx-suite[fleet]'")
    settings = (f"AmxQualify.results={results.absolute()}", f"AmxQualify.level={level}")
    return [
        *(sys.executable, "-c", _MAIN),
        *("--checkpath", str(SHIPPED["test"]), "--run", "--distribute=all"),
        *(word for setting in settings for word in ("--setvar", setting)),
        *arguments,
    ]
