"""``amx-suite replay``: runs a stored wrong tile again, on every CPU."""

from __future__ import annotations

__all__ = ["configure", "run"]

import argparse
from pathlib import Path

from amx_suite.core.run import exit_code
from amx_suite.host.fingerprint import host_traits
from amx_suite.host.support import detect
from amx_suite.report.mismatch import StoredMismatch, read_mismatch
from amx_suite.tmul.batch import TileWorker

#: Runs on each CPU: enough to see a fault that occurs once in a few hundred runs.
_TIMES = 1000


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.epilog = "Exit codes: 0 right each time, 1 wrong again, 2 usage, 3 AMX not usable here."
    parser.add_argument("file", metavar="FILE", type=Path, help="a mismatch-*.json")


def run(arguments: argparse.Namespace) -> int:
    """Run the stored tile again and print how often it is wrong.

    Raises ResultsFileError for a file that is not a stored mismatch, ChildError if a worker dies.
    """
    stored = read_mismatch(arguments.file)
    facts, support = detect()
    print(f"found {stored.found}: {stored.result}")
    if not support.usable:
        print(f"amx-suite: AMX NOT USABLE: {support.reason}: {support.explanation}")
        return exit_code(not_usable=True)
    unlike = [k for k, v in host_traits(facts).items() if stored.machine.get(k) != v]
    if unlike:
        print(f"it was found on another machine: {', '.join(unlike)} differ")
    cpus = sorted(facts.allowed_cpus, key=lambda cpu: cpu != stored.result.cpu)
    wrong_on = [cpu for cpu in cpus if _wrong_times(stored, cpu)]
    again = f"WRONG AGAIN on CPU {', '.join(map(str, wrong_on))}"
    times = f"{_TIMES} times on each of {len(cpus)} CPUs"
    print(f"amx-suite: {again if wrong_on else f'RIGHT {times}: it did not recur'}")
    return exit_code(failed=bool(wrong_on))


def _wrong_times(stored: StoredMismatch, cpu: int) -> int:
    with TileWorker(cpu) as worker:
        results = [worker.rerun_tile(stored.result) for _ in range(_TIMES)]
    wrong = [result for result in results if not result.is_exact]
    print(f"CPU {cpu}: wrong {len(wrong)} of {_TIMES} times" + (f": {wrong[0]}" if wrong else ""))
    return len(wrong)
