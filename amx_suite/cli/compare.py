"""``amx-suite compare``: what changed since one or more earlier runs, gate by gate."""

from __future__ import annotations

__all__ = ["configure", "run"]

import argparse
from pathlib import Path

from amx_suite.cli import changes
from amx_suite.history.compare import compare
from amx_suite.history.render import render_markdown, render_terminal
from amx_suite.history.store import load_run
from amx_suite.plugin.options import COMPARE_OPTIONS, Settings, add_options


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = (
        "Exit codes: 0 nothing got worse, 1 a gate got worse, 2 usage, 4 undecided, as when a "
        "gate vanished."
    )
    parser.add_argument(
        "bases",
        metavar="BASE",
        type=Path,
        nargs="+",
        help="results.json of an earlier run; three or more measure how much launches differ",
    )
    parser.add_argument("new", metavar="NEW", type=Path, help="results.json of the later run")
    changes.declare(parser)
    add_options(parser.add_argument, "", COMPARE_OPTIONS)


def run(arguments: argparse.Namespace) -> int:
    """Compare the runs, print the table, and write the files that were asked for.

    A file that goes to standard output takes the table's place.
    """
    margin = changes.margin_of(arguments)
    across = Settings.read(arguments).across
    bases = [load_run(path) for path in arguments.bases]
    found = compare(bases, load_run(arguments.new), margin=margin, across=across)
    changes.check_files(arguments, (*arguments.bases, arguments.new))
    changes.publish(arguments, found, render_terminal, render_markdown)
    return found.exit_code
