"""``amx-suite fleet run``: qualify on every node, through ReFrame."""

from __future__ import annotations

__all__ = ["configure", "run"]

import argparse
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from amx_suite.core.run import LEVELS
from amx_suite.errors import AmxSuiteError, UsageError
from amx_suite.files import ensure_writable
from amx_suite.fleet.reframe_run import reframe_command


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = (
        "Exit codes: 0 every node qualified, 1 a node failed or is an outlier, 2 usage, or no job "
        "ran, 3 AMX is not usable on a node, 4 a node is undecided or returned nothing."
    )
    parser.add_argument(
        "--output",
        metavar="DIR",
        type=Path,
        default=Path("amx-fleet"),
        help="keep each node's results in DIR/NODE. Default: amx-fleet.",
    )
    parser.add_argument(
        "--level", type=int, choices=LEVELS, default=2, help="of qualify on each node. Default: 2."
    )
    parser.add_argument(
        "reframe",
        metavar="ARGUMENT",
        nargs="*",
        help="after --: arguments for ReFrame, such as -C site.py",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run ReFrame, then judge what the nodes returned.

    Raises UsageError and OutputError, and AmxSuiteError where ReFrame found a fault that no result
    shows.
    """
    output: Path = arguments.output
    command = reframe_command(output, arguments.level, arguments.reframe)
    ensure_writable(output)
    if any(output.iterdir()):
        # A node that returns nothing would be judged by what is there.
        raise UsageError(f"--output: {output} is not empty; name a new folder")
    ended = _run_reframe(command)
    if not any(output.iterdir()):
        raise UsageError(f"ReFrame (exit code {ended}) ran no job; its own message is above")
    from amx_suite.fleet.collect import collect
    from amx_suite.fleet.report import judge_fleet
    from amx_suite.fleet.report_rows import counts_text

    fleet = judge_fleet(*collect([output]))
    for lost in fleet.no_result:
        print(f"  {lost.name}: {lost.fault}")
    print(f"amx-suite: {counts_text(fleet)}; next: amx-suite fleet report {output}")
    if ended and fleet.exit_code == 0:
        raise AmxSuiteError(
            f"every node qualified, but ReFrame ended with {ended}; its own message is above"
        )
    return fleet.exit_code


def _run_reframe(command: Sequence[str]) -> int:
    # In a group of its own, so that Ctrl-C reaches it once, from here: it then cancels its jobs.
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, process_group=0) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            process.wait()
            raise
