"""``amx-suite list``: every run case with its gates and needs."""

from __future__ import annotations

__all__ = ["configure", "run"]

import argparse

import msgspec

from amx_suite.engines import ENGINES
from amx_suite.gates.loader import gates_that_fit, load_gates
from amx_suite.plugin.options import Settings, add_options
from amx_suite.report.listing import listing
from amx_suite.report.table import terminal_width
from amx_suite.workloads import WORKLOADS

#: The options that change a run case or its gates.
_OPTIONS = ("gates", "cores", "seed", "weights")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_options(parser.add_argument, "", _OPTIONS)


def run(arguments: argparse.Namespace) -> int:
    """Print the cases, the gates that judge none of them, and what the engines lack here."""
    settings = Settings.read(arguments)
    gates = load_gates(settings.gates)
    found = listing(
        ENGINES,
        WORKLOADS,
        gates,
        fitting=set(gates_that_fit(gates)),
        cores=settings.instance.cores,
        seed=settings.seed,
        weights=dict(settings.weights),
    )
    if arguments.json:
        print(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        print(found.terminal(width=terminal_width()), end="")
    return 0
