"""``amx-suite fleet path``: where the files are that this package ships for other programs."""

from __future__ import annotations

__all__ = ["configure", "run"]

import argparse

from amx_suite.fleet.reframe_run import SHIPPED


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument(
        "file",
        choices=SHIPPED,
        nargs="?",
        default="test",
        help="test: for `reframe -c`, the default; health-check: for Slurm's HealthCheckProgram",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the path."""
    print(SHIPPED[arguments.file])
    return 0
