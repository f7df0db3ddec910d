"""What the commands that find changes share: the margin, and where the report goes."""

from __future__ import annotations

__all__ = ["check_files", "declare", "goes_to_stdout", "margin_of", "publish"]

import argparse
import math
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from amx_suite.errors import UsageError
from amx_suite.files import STDOUT, check_outputs, descriptor_of, write_output
from amx_suite.report.table import terminal_width

#: The least change of a speedup that counts. Two launches of the same case differ by some per cent
#: (docs/verdicts.md), which hides a smaller change.
_MARGIN_PERCENT = "5"


def declare(parser: argparse.ArgumentParser) -> None:
    """Declare the margin and the files."""
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


def margin_of(arguments: argparse.Namespace) -> float:
    """The margin as a share, above 0 and below 1; raises UsageError."""
    text = arguments.margin
    try:
        percent = float(text)
    except ValueError:
        percent = math.nan
    if not 0 < percent < 100:
        raise UsageError(f"--margin: got '{text}', expected a percentage above 0 and below 100")
    return percent / 100


def check_files(arguments: argparse.Namespace, inputs: Iterable[Path] = ()) -> None:
    """Raise OutputError before the work where ``publish`` could not write after it."""
    check_outputs({"--json": arguments.json, "--markdown": arguments.markdown}, inputs)


def goes_to_stdout(arguments: argparse.Namespace) -> bool:
    """Whether a file takes the table's place on standard output."""
    files = [path for path in (arguments.json, arguments.markdown) if path is not None]
    return STDOUT in map(descriptor_of, files)


def publish(
    arguments: argparse.Namespace,
    found: msgspec.Struct,
    terminal: Callable[..., str],
    markdown: Callable[..., str],
) -> None:
    """Print the table, and write the files that were asked for."""
    if not goes_to_stdout(arguments):
        print(terminal(found, width=terminal_width(), colour=sys.stdout.isatty()), end="")
    if arguments.json is not None:
        text = msgspec.json.format(msgspec.json.encode(found)).decode() + "\n"
        write_output(arguments.json, text)
    if arguments.markdown is not None:
        write_output(arguments.markdown, markdown(found))
