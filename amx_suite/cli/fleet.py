"""``amx-suite fleet``: many machines, each of which runs ``amx-suite qualify``."""

from __future__ import annotations

__all__ = ["SUBCOMMANDS", "configure", "run"]

import argparse

from amx_suite.cli import fleet_path, fleet_report, fleet_run

#: Each subcommand: its one line of help, and its module, which has ``configure`` and ``run``.
SUBCOMMANDS = {
    "run": ("run qualify on every node, one job each, through ReFrame", fleet_run),
    "path": ("print where the ReFrame test or the health check is", fleet_path),
    "report": ("make one page about many machines from their results.json", fleet_report),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommands and their arguments."""
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, (line, module) in SUBCOMMANDS.items():
        command = commands.add_parser(name, help=line, description=line, allow_abbrev=False)
        module.configure(command)
        command.set_defaults(run_subcommand=module.run)


def run(arguments: argparse.Namespace) -> int:
    """Run the chosen subcommand and return its exit code."""
    code: int = arguments.run_subcommand(arguments)
    return code
