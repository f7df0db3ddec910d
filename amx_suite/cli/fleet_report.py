"""``amx-suite fleet report``: one page and one JSON file about many machines."""

from __future__ import annotations

__all__ = ["configure", "run"]

import argparse
import json
import sys
from pathlib import Path

import msgspec

from amx_suite.files import check_file, ensure_writable, replace_files
from amx_suite.report.table import Table, terminal_width

_PAGE, _JSON = "fleet.html", "fleet.json"
#: The terminal shows so many rows of a table; the page has more, and fleet.json has all.
_MOST_ROWS = 10


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = (
        "Exit codes: 0 every machine qualified and none is an outlier, 1 a machine failed or is an "
        "outlier, 2 usage, 3 AMX is not usable on a machine, 4 a machine is undecided or missing."
    )
    parser.add_argument(
        "folders",
        metavar="DIR",
        type=Path,
        nargs="+",
        help="folders with a results.json of each machine, at any depth",
    )
    parser.add_argument(
        "--output",
        metavar="DIR",
        type=Path,
        default=Path("amx-fleet"),
        help="write fleet.html and fleet.json there. Default: amx-fleet.",
    )
    parser.add_argument(
        "--expect",
        metavar="FILE",
        type=Path,
        help="names of all nodes, one a line, as `sinfo -N -h -o %%N` prints them: those without a "
        "result are named",
    )


def run(arguments: argparse.Namespace) -> int:
    """Judge the machines, write both files, and print tables and the answer.

    Raises UsageError and OutputError.
    """
    # Here, so that --help needs none of them.
    from amx_suite.fleet import report_rows as rows
    from amx_suite.fleet.collect import collect, read_expected
    from amx_suite.fleet.report import judge_fleet

    expected = None if arguments.expect is None else read_expected(arguments.expect)
    for name in (_PAGE, _JSON):
        check_file(arguments.output / name)
    ensure_writable(arguments.output)
    machines, no_result = collect(arguments.folders, expected or ())
    fleet = judge_fleet(machines, no_result, expected=None if expected is None else len(expected))
    from amx_suite.fleet.report_page import render_page

    # Not by msgspec: a folder's name may hold bytes that are no text.
    text = json.dumps(msgspec.to_builtins(fleet)) + "\n"
    replace_files(arguments.output, {_JSON: text, _PAGE: render_page(fleet)})
    for table in (
        rows.answer_table(fleet),
        rows.missing_table(fleet)._replace(title="Machines without a result"),
        rows.attention_table(fleet)._replace(title="Machines that did not qualify"),
        rows.outlier_table(fleet)._replace(title="Machines that are slower than their like"),
        rows.deviation_table(fleet)._replace(title="Machines that are set up differently"),
    ):
        if table.rows:
            print(_shown(table))
    several = sum(bool(machine.older) for machine in machines)
    if several:
        words = "machine" if several == 1 else "machines"
        print(f"amx-suite: {several} {words} with several results: the newest counts")
    print(f"amx-suite: {rows.last_line(fleet, str(arguments.output / _PAGE))}")
    return fleet.exit_code


def _shown(table: Table) -> str:
    more = len(table.rows) - _MOST_ROWS
    text = table._replace(rows=table.rows[:_MOST_ROWS]).terminal(
        width=terminal_width(), colour=sys.stdout.isatty()
    )
    return f"{text}and {more} more: see {_PAGE}\n" if more > 0 else text
