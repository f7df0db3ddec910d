"""Child program: state and fault checks on each given CPU, each check in a process of its own.

``python -m amx_suite.tmul.check_child 0,1 [CHECK ...]`` writes one line of JSON, a CheckResult, for
each check and CPU as it ends. It holds no tile permission itself, and forks for each check, since a
permission once held is for good and a check may have to die.
"""

from __future__ import annotations

__all__ = ["CHECKS", "main", "run_check"]

import os
import resource
import select
import signal
import sys
from collections.abc import Callable, Sequence

import msgspec

from amx_suite.tmul.check import Broken, Check, CheckResult, NotHere, Outcome
from amx_suite.tmul.fault_checks import FAULT_CHECKS
from amx_suite.tmul.kernel_calls import die_with_parent, signal_name
from amx_suite.tmul.state_checks import STATE_CHECKS

#: Far more than any check takes on a loaded machine.
_SECONDS_FOR_ONE = 60.0
#: First words of a fork that was not killed.
_GOOD, _BAD, _ABSENT = "good", "bad", "absent"


#: Every check by name.
CHECKS: dict[str, Check] = {**STATE_CHECKS, **FAULT_CHECKS}


def run_check(name: str, cpu: int, check: Check, seconds: float = _SECONDS_FOR_ONE) -> CheckResult:
    """Run the check, and its control before it, each in a fork pinned to the CPU."""
    if check.control is not None:
        outcome, detail = _forked(check.control, None, cpu, seconds)
        if outcome is not Outcome.OK:
            return CheckResult(name, cpu, outcome, f"its legal twin: {detail}")
    return CheckResult(name, cpu, *_forked(check.run, check.ends_by, cpu, seconds))


def _forked(
    run: Callable[[int], None], ends_by: signal.Signals | None, cpu: int, seconds: float
) -> tuple[Outcome, str]:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        _in_the_fork(run, cpu, writer)
    os.close(writer)
    try:
        said, in_time = _read_all(reader, seconds)
    finally:
        os.close(reader)
    if not in_time:
        os.kill(pid, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if not in_time:
        return Outcome.BROKEN, f"it did not end within {seconds:g} s"
    return _judge(ends_by, code, said)


def _judge(ends_by: signal.Signals | None, code: int, said: bytes) -> tuple[Outcome, str]:
    word, _, detail = said.decode(errors="replace").partition(" ")
    due = f" where {ends_by.name} was due" if ends_by else ""
    if code < 0:
        if code == -(ends_by or 0):
            return Outcome.OK, ""
        return Outcome.BROKEN, f"killed by {signal_name(-code)}{due}"
    if word == _ABSENT:
        return Outcome.NOT_HERE, detail
    if word == _GOOD and code == 0:
        return (Outcome.BROKEN, f"it returned{due}") if ends_by else (Outcome.OK, "")
    return Outcome.BROKEN, detail or f"it ended with exit code {code} and said '{word}'"


def _in_the_fork(run: Callable[[int], None], cpu: int, writer: int) -> None:
    """Never returns."""
    answer = f"{_BAD} it ended without a word"
    try:
        die_with_parent()
        os.sched_setaffinity(0, {cpu})
        run(cpu)
        answer = _GOOD
    except NotHere as reason:
        answer = f"{_ABSENT} {reason}"
    except Broken as finding:
        answer = f"{_BAD} {finding}"
    except BaseException as error:  # noqa: BLE001 - whatever it is, the check did not pass
        answer = f"{_BAD} {type(error).__name__}: {error}"
    finally:
        os.write(writer, answer.encode())
        os._exit(0)


def _read_all(reader: int, seconds: float) -> tuple[bytes, bool]:
    """What is written, and whether the end came before ``seconds`` passed without a word."""
    found = b""
    while select.select([reader], [], [], seconds)[0]:
        data = os.read(reader, 65536)
        if not data:
            return found, True
        found += data
    return found, False


def main(argv: Sequence[str]) -> int:
    """Run the named checks, or all, on each of the comma-separated CPUs."""
    die_with_parent()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    names = argv[2:] or list(CHECKS)
    for name in names:
        for cpu in map(int, argv[1].split(",")):
            line = msgspec.json.encode(run_check(name, cpu, CHECKS[name]))
            os.write(1, line + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv))
