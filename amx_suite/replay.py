"""Run a stored wrong tile again, on the CPU where it was found and on all others."""

from __future__ import annotations

__all__ = ["replay"]

from collections.abc import Callable
from pathlib import Path

from amx_suite.core.exit_codes import exit_code
from amx_suite.host import detect, host_traits
from amx_suite.report.mismatch import StoredMismatch, read_mismatch
from amx_suite.tmul.tile_worker import TileWorker

#: Every time on each CPU: enough to meet a fault that comes once in a few hundred.
_TIMES = 1000


def replay(path: Path, say: Callable[[str], None] = print) -> int:
    """Say how often the stored tile is wrong now; FAILED if it is wrong again.

    Raises ResultsFileError for a file that is no stored mismatch, ChildError if a worker dies.
    """
    stored = read_mismatch(path)
    facts, support = detect()
    say(f"found {stored.found}: {stored.result}")
    if not support.usable:
        say(f"amx-suite: AMX NOT USABLE: {support.reason}: {support.explanation}")
        return exit_code(not_usable=True)
    unlike = [k for k, v in host_traits(facts).items() if stored.machine.get(k) != v]
    if unlike:
        say(f"this is not the machine that it was found on: {', '.join(unlike)} differ")
    cpus = sorted(facts.allowed_cpus, key=lambda cpu: cpu != stored.result.cpu)
    wrong_on = [cpu for cpu in cpus if _wrong_times(stored, cpu, say)]
    again = f"WRONG AGAIN on CPU {', '.join(map(str, wrong_on))}"
    times = f"{_TIMES} times on each of {len(cpus)} CPUs"
    say(f"amx-suite: {again if wrong_on else f'RIGHT {times}: it did not recur'}")
    return exit_code(failed=bool(wrong_on))


def _wrong_times(stored: StoredMismatch, cpu: int, say: Callable[[str], None]) -> int:
    with TileWorker(cpu) as worker:
        results = [worker.rerun_tile(stored.result) for _ in range(_TIMES)]
    wrong = [result for result in results if not result.is_exact]
    say(f"CPU {cpu}: wrong {len(wrong)} of {_TIMES} times" + (f": {wrong[0]}" if wrong else ""))
    return len(wrong)
