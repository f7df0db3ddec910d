"""``amx-suite doctor``: is AMX usable here, and if not, why and what to do?"""

from __future__ import annotations

__all__ = ["configure", "run"]

import argparse

from amx_suite.core.run import exit_code
from amx_suite.host.doctor import render_json, render_text
from amx_suite.host.snapshot import read_health
from amx_suite.host.support import detect
from amx_suite.streams import write_data


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = "Exit codes: 0 usable, 3 not usable."
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Detect the host and print what was found."""
    facts, support = detect()
    health = read_health()
    if arguments.json:
        write_data(render_json(facts, support, health) + "\n")
    else:
        print(render_text(facts, support, health))
    return exit_code(not_usable=not support.usable)
