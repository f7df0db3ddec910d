"""``amx-suite report``: report.html from the results of a run, on any machine."""

from __future__ import annotations

__all__ = ["configure", "run"]

import argparse
from pathlib import Path

from amx_suite.files import check_outputs, descriptor_of, write_output
from amx_suite.history.store import load_run


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = "Exit codes: 0 written, 2 usage, as for a file that `qualify` did not write."
    parser.add_argument(
        "results", metavar="RESULTS", type=Path, help="results.json of a run of qualify"
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        type=Path,
        help="write the report there; - prints it. Default: report.html beside the results.",
    )
    parser.add_argument(
        "--anonymous",
        action="store_true",
        help="leave out what names the machine or its user: machine id, paths of weights, values "
        "of the user's variables",
    )


def run(arguments: argparse.Namespace) -> int:
    """Make the report, write it and say where; raises ResultsFileError and OutputError."""
    found = load_run(arguments.results)
    output = arguments.output or arguments.results.with_name("report.html")
    check_outputs({"--output": output}, [arguments.results])
    # Here, because it imports matplotlib: --help and a bad file are answered at once.
    from amx_suite.report.html import render_html

    page = render_html(found.summary, sha256=found.sha256, anonymous=arguments.anonymous)
    write_output(output, page)
    if descriptor_of(output) is None:
        print(f"amx-suite: report in {output}")
    return 0
