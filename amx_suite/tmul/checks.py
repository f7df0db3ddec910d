"""State and fault checks on each given CPU, each check in a process of its own.

They run in a child process that holds no tile permission itself and forks for each check, since a
permission once held is for good and a check may have to die.
"""

from __future__ import annotations

__all__ = ["CHECKS", "Checks", "run_check", "run_checks", "start_checks"]

import faulthandler
import os
import select
import signal
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from amx_suite.child.channel import ArrayMap
from amx_suite.child.messages import Reply, Request
from amx_suite.child.processes import exit_code_of, fork
from amx_suite.tmul.check import Broken, Check, CheckResult, NotHere, Outcome
from amx_suite.tmul.fault_checks import FAULT_CHECKS
from amx_suite.tmul.kernel_calls import signal_name
from amx_suite.tmul.state_checks import STATE_CHECKS

if TYPE_CHECKING:
    from amx_suite.child.handle import Child

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
    pid = fork(lambda: _in_the_fork(run, cpu, writer))
    os.close(writer)
    try:
        said, in_time = _read_all(reader, seconds)
    finally:
        os.close(reader)
    if not in_time:
        os.kill(pid, signal.SIGKILL)
    code = exit_code_of(pid)
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


def _in_the_fork(run: Callable[[int], None], cpu: int, writer: int) -> int:
    answer = f"{_BAD} it ended without a word"
    try:
        # Many a check has to die, and what it dies of is told without a traceback.
        faulthandler.disable()
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
    return 0


def _read_all(reader: int, seconds: float) -> tuple[bytes, bool]:
    """What is written, and whether the end came before ``seconds`` passed without a word."""
    found = b""
    while select.select([reader], [], [], seconds)[0]:
        data = os.read(reader, 65536)
        if not data:
            return found, True
        found += data
    return found, False


class RunCheck(Request, frozen=True, tag=True):
    """Run the check of that name on the CPU."""

    # A check and its control, and the forks' own start and end.
    seconds_to_answer: ClassVar[float] = 2 * _SECONDS_FOR_ONE + 30.0

    check: str
    cpu: int


class Checked(Reply, frozen=True, tag=True):
    """What came of it."""

    result: CheckResult


class Checks:
    """Handles ``RunCheck``."""

    requests: ClassVar[Any] = RunCheck

    def handle(self, request: RunCheck, arrays: ArrayMap) -> tuple[Checked, ArrayMap]:
        """Run it in a fork."""
        return Checked(run_check(request.check, request.cpu, CHECKS[request.check])), {}


def start_checks() -> Child:
    """A child that answers ``RunCheck``."""
    # The child imports this module too, and starts none.
    from amx_suite.child.handle import Child

    return Child("amx_suite.tmul.checks:Checks", label="tile checks")


def run_checks(
    cpus: Sequence[int],
    names: Sequence[str] = tuple(CHECKS),
    *,
    start: Callable[[], Child] = start_checks,
) -> Iterator[CheckResult]:
    """Each result as it comes: every named check on every CPU.

    Raises LostChildError if the child itself, not a check, dies or hangs.
    """
    with start() as child:
        for name in names:
            for cpu in cpus:
                yield child.ask(RunCheck(name, cpu), Checked).result
