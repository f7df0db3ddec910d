"""``amx-suite compare``: what changed since one or more earlier runs, gate by gate."""

from __future__ import annotations

__all__ = ["configure", "run"]

import argparse
import math
import sys
from pathlib import Path

import msgspec

from amx_suite.errors import UsageError
from amx_suite.files import STDOUT, check_outputs, descriptor_of, write_output
from amx_suite.history.compare import compare
from amx_suite.history.render import render_markdown, render_terminal
from amx_suite.history.store import load_run
from amx_suite.plugin.options import COMPARE_OPTIONS, Settings, add_options
from amx_suite.report.table import terminal_width

#: The least change of a speedup that counts. Two launches of the same case differ by some per cent
#: (docs/verdicts.md), which hides a smaller change.
_MARGIN_PERCENT = "5"


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
    parser.add_argument(
        "--margin",
        metavar="PERCENT",
        default=_MARGIN_PERCENT,
        help="the least change of a speedup that counts as worse or better. Default: "
        f"{_MARGIN_PERCENT}.",
    )
    parser.add_argument(
        "--json", metavar="FILE", type=Path, help="write the comparison as JSON; - prints it"
    )
    parser.add_argument(
        "--markdown", metavar="FILE", type=Path, help="write it as a page; - prints it"
    )
    add_options(parser.add_argument, "", COMPARE_OPTIONS)


def run(arguments: argparse.Namespace) -> int:
    """Compare the runs, print the table, and write the files that were asked for.

    A file that goes to standard output takes the table's place.
    """
    margin = _margin(arguments.margin)
    across = Settings.read(arguments).across
    bases = [load_run(path) for path in arguments.bases]
    found = compare(bases, load_run(arguments.new), margin=margin, across=across)
    outputs = {"--json": arguments.json, "--markdown": arguments.markdown}
    check_outputs(outputs, (*arguments.bases, arguments.new))
    files = [path for path in outputs.values() if path is not None]
    if STDOUT not in map(descriptor_of, files):
        print(render_terminal(found, width=terminal_width(), colour=sys.stdout.isatty()), end="")
    if arguments.json is not None:
        text = msgspec.json.format(msgspec.json.encode(found)).decode() + "\n"
        write_output(arguments.json, text)
    if arguments.markdown is not None:
        write_output(arguments.markdown, render_markdown(found))
    return found.exit_code


def _margin(text: str) -> float:
    """Read a percentage above 0 and below 100 as a share."""
    try:
        percent = float(text)
    except ValueError:
        percent = math.nan
    if not 0 < percent < 100:
        raise UsageError(f"--margin: got '{text}', expected a percentage above 0 and below 100")
    return percent / 100
