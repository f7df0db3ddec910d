"""``amx-suite export``: results in the formats of tools that watch many runs."""

from __future__ import annotations

__all__ = ["configure", "run"]

import argparse
import sys
from pathlib import Path

from amx_suite.core.run import ExitCode
from amx_suite.export.otava import otava_series
from amx_suite.export.prometheus import prometheus_text
from amx_suite.files import check_outputs, descriptor_of, write_output
from amx_suite.history.store import StoredRun, load_run


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = (
        "Exit codes: 0 written, 2 usage, as for a file that `qualify` did not write, 4 nothing to "
        "write, as no gate was measured in enough of the runs."
    )
    parser.add_argument(
        "results",
        metavar="RESULTS",
        type=Path,
        nargs="+",
        help="results.json of runs of qualify, in any order",
    )
    parser.add_argument(
        "--format",
        choices=("otava", "prometheus"),
        required=True,
        help="otava: CSV with the speedups of one machine's runs, for Apache Otava; prometheus: "
        "the latest run of each machine, for the node exporter's textfile collector",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        type=Path,
        default=Path("-"),
        help="write it there; - prints it, which is the default",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the runs in the format; raises ResultsFileError and OutputError before it writes."""
    runs = [load_run(path) for path in arguments.results]
    check_outputs({"--output": arguments.output}, arguments.results)
    text = _otava(runs) if arguments.format == "otava" else prometheus_text(runs)
    if not text:
        return ExitCode.UNDECIDED
    write_output(arguments.output, text)
    if descriptor_of(arguments.output) is None:
        print(f"amx-suite: {arguments.format} of {len(runs)} runs in {arguments.output}")
    return ExitCode.OK


def _otava(runs: list[StoredRun]) -> str:
    """The CSV, empty if no gate has a series; what it leaves out goes to standard error."""
    series = otava_series(runs)
    for note in series.notes:
        print(f"amx-suite: {note}", file=sys.stderr)
    if not series.gates:
        print("amx-suite: nothing to export: no gate has a series", file=sys.stderr)
        return ""
    return series.csv()
