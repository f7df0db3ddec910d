"""``amx-suite fleet report``: one page and one JSON file about many machines."""

from __future__ import annotations

__all__ = ["configure", "run"]

import argparse
from pathlib import Path


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
        help="names of all nodes, one a line, as `sinfo -N -h -o %%n` prints them: those without a "
        "result are named",
    )


def run(arguments: argparse.Namespace) -> int:
    """Judge the machines, write both files, and print a table and the answer."""
    raise NotImplementedError
