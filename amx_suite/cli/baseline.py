"""``amx-suite baseline``: a gate table from machines that were accepted."""

from __future__ import annotations

__all__ = ["configure", "run"]

import argparse
from pathlib import Path

from amx_suite.files import check_outputs, descriptor_of, write_output
from amx_suite.history.baseline import derive_gates
from amx_suite.history.store import load_run


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
    check_outputs({"--output": arguments.output}, arguments.results)
    write_output(arguments.output, found.toml())
    if descriptor_of(arguments.output) is None:
        print(
            f"amx-suite: {len(found.gates)} gates from {len(found.machines)} machines in "
            f"{arguments.output}; use them with --gates {arguments.output}"
        )
    return 0
