"""``amx-suite baseline``: a gate table from machines that were accepted."""

from __future__ import annotations

__all__ = ["configure", "run"]

import argparse
from pathlib import Path

from amx_suite.files import write_atomically
from amx_suite.history.baseline import derive_gates
from amx_suite.history.store import load_run
from amx_suite.streams import write_data


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = "Exit codes: 0 written, 2 usage, as for machines of different classes."
    parser.add_argument(
        "results",
        metavar="RESULTS",
        type=Path,
        nargs="+",
        help="results.json of accepted machines of one class, three or more",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        type=Path,
        default=Path("-"),
        help="write the table there; - prints it, which is the default",
    )


def run(arguments: argparse.Namespace) -> int:
    """Derive the gates and write the table, for use with ``--gates``."""
    found = derive_gates([load_run(path) for path in arguments.results])
    if str(arguments.output) == "-":
        write_data(found.toml())
        return 0
    write_atomically(arguments.output, found.toml())
    print(
        f"amx-suite: {len(found.gates)} gates from {len(found.machines)} machines in "
        f"{arguments.output}; use them with --gates {arguments.output}"
    )
    return 0
