"""Every state and fault check by name, and how to run them on given CPUs.

Each runs in a fork pinned to its CPU, because it may have to die. The forks come from a child that
holds no permission, because a permission once held is never lost.
"""

from __future__ import annotations

__all__ = ["CHECKS", "CheckResult", "Checks", "Outcome", "run_check", "run_checks"]

import faulthandler
import os
import select
import signal
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from typing import Any, ClassVar

import msgspec

from amx_suite.child.channel import ArrayMap, Reply, Request
from amx_suite.child.handle import Child
from amx_suite.child.main import exit_code_of, fork
from amx_suite.errors import NotApplicableError
from amx_suite.tmul.fault_checks import FAULT_CHECKS
from amx_suite.tmul.kernel_calls import signal_name
from amx_suite.tmul.state_checks import STATE_CHECKS, Check

#: Far more than any check takes on a loaded machine.
_SECONDS_FOR_ONE = 60.0

#: Every check by name.
CHECKS: dict[str, Check] = {**STATE_CHECKS, **FAULT_CHECKS}


class Outcome(StrEnum):
    """How a check ended on one CPU."""

    OK = "ok"
    BROKEN = "broken"
    NOT_HERE = "not applicable"


class RunCheck(Request, frozen=True, tag=True):
    """Run the check of that name on the CPU."""

    # A check and its control, and the forks' own start and end.
    seconds_to_answer: ClassVar[float] = 2 * _SECONDS_FOR_ONE + 30.0

    check: str
    cpu: int


class CheckResult(Reply, frozen=True, tag=True):
    """One check on one CPU; ``detail`` is the finding where it is not OK."""

    check: str
    cpu: int
    outcome: Outcome
    detail: str = ""


class Checks:
    """Handles ``RunCheck``."""

    requests: ClassVar[Any] = RunCheck

    def handle(self, request: RunCheck, arrays: ArrayMap) -> tuple[CheckResult, ArrayMap]:
        """Run it in a fork."""
        return run_check(request.check, request.cpu, CHECKS[request.check]), {}


def run_checks(cpus: Sequence[int], handler: str = f"{__name__}:Checks") -> Iterator[CheckResult]:
    """Each result as it comes: every check on every CPU.

    Raises LostChildError if the child itself, not a check, dies or hangs.
    """
    with Child(handler, label="tile checks") as child:
        for name in CHECKS:
            for cpu in cpus:
                yield child.ask(RunCheck(name, cpu), CheckResult)


def run_check(name: str, cpu: int, check: Check, seconds: float = _SECONDS_FOR_ONE) -> CheckResult:
    """Run the check's control and then the check, each in a fork pinned to the CPU."""
    if check.control is not None:
        outcome, detail = _forked(check.control, None, cpu, seconds)
        if outcome is not Outcome.OK:
            return CheckResult(name, cpu, outcome, f"its control: {detail}")
    return CheckResult(name, cpu, *_forked(check.run, check.ends_by, cpu, seconds))


def _forked(
    run: Callable[[int], None], ends_by: signal.Signals | None, cpu: int, seconds: float
) -> tuple[Outcome, str]:
    reader, writer = os.pipe()
    pid = fork(lambda: _in_the_fork(run, cpu, writer))
    os.close(writer)
    # Readable once the fork has written, or has ended and so closed its end.
    in_time = bool(select.select([reader], [], [], seconds)[0])
    said = os.read(reader, 65536) if in_time else b""
    os.close(reader)
    if not in_time:
        os.kill(pid, signal.SIGKILL)
    code = exit_code_of(pid)
    due = f" where {ends_by.name} was due" if ends_by else ""
    if not in_time:
        return Outcome.BROKEN, f"it did not end within {seconds:g} s"
    if code < 0:
        killed = f"killed by {signal_name(-code)}{due}"
        return (Outcome.OK, "") if code == -(ends_by or 0) else (Outcome.BROKEN, killed)
    if not said:
        return Outcome.BROKEN, f"it ended with exit code {code}"
    outcome, detail = msgspec.json.decode(said, type=tuple[Outcome, str])
    if ends_by and outcome is Outcome.OK:
        return Outcome.BROKEN, f"it returned{due}"
    return outcome, detail


def _in_the_fork(run: Callable[[int], None], cpu: int, writer: int) -> int:
    outcome, detail = Outcome.BROKEN, ""
    try:
        # Many a check has to die, and its signal says enough without a traceback.
        faulthandler.disable()
        os.sched_setaffinity(0, {cpu})
        run(cpu)
        outcome = Outcome.OK
    except NotApplicableError as reason:
        outcome, detail = Outcome.NOT_HERE, str(reason)
    except AssertionError as finding:
        detail = str(finding)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the check did not pass
        detail = f"{type(error).__name__}: {error}"
    os.write(writer, msgspec.json.encode((outcome, detail)))
    return 0
