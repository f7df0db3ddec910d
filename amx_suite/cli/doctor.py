"""``amx-suite doctor``: is AMX usable here, and if not, why and what to do?"""

from __future__ import annotations

__all__ = ["configure", "run"]

import argparse

from amx_suite.core.run import exit_code
from amx_suite.host.doctor import render_json, render_text
from amx_suite.host.snapshot import read_health
from amx_suite.host.support import detect


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = "Exit codes: 0 usable, 3 not usable."
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Detect the host and print what was found."""
    facts, support = detect()
    render = render_json if arguments.json else render_text
    print(render(facts, support, read_health()).rstrip("\n"))
    return exit_code(not_usable=not support.usable)
