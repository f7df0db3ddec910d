"""``amx-suite list``: every run case with its gates and needs; how long each level takes."""

from __future__ import annotations

__all__ = ["configure", "run"]

import argparse

import msgspec

from amx_suite.core.isa import Isa
from amx_suite.engines import ENGINES
from amx_suite.gates.loader import gates_that_fit, load_gates
from amx_suite.host.cpuinfo import read_cpuinfo
from amx_suite.plugin.options import LEVEL_BUDGET_SECONDS, Settings, add_options
from amx_suite.plugin.time_left import run_time
from amx_suite.report.listing import LevelRow, listing
from amx_suite.streams import write_data
from amx_suite.workloads import WORKLOADS

#: The options that change a run case, its gates or how long a level takes.
_OPTIONS = ("gates", "cores", "seed", "weights", "budget", "soak")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    add_options(parser.add_argument, "", _OPTIONS)


def _level_row(settings: Settings, level: int, engine: str) -> LevelRow:
    chosen = msgspec.structs.replace(settings, level=level, engines=(engine,))
    # Of this CPU if it had AMX: what a newer one has beyond that takes no time here.
    flags = (*read_cpuinfo().flags, *Isa.NO_AMX.spec.cpu_flags, *Isa.AMX.spec.cpu_flags)
    time = run_time(chosen, cpu_flags=flags)
    return LevelRow(level, engine, settings.instance.cores, time)


def run(arguments: argparse.Namespace) -> int:
    """Print the cases, the gates that judge none of them, and what the engines lack here."""
    settings = Settings.read(arguments)
    gates = load_gates(settings.gates)
    found = listing(
        ENGINES,
        WORKLOADS,
        gates,
        [
            _level_row(settings, level, engine)
            for level in LEVEL_BUDGET_SECONDS
            for engine in ENGINES
        ],
        fitting=set(gates_that_fit(gates)),
        cores=settings.instance.cores,
        seed=settings.seed,
        weights=dict(settings.weights),
    )
    if arguments.json:
        write_data(msgspec.json.format(msgspec.json.encode(found)).decode() + "\n")
    else:
        print(found.terminal(), end="")
    return 0
