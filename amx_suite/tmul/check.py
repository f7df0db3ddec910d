"""A check of tile state or faults, and how to run one: in a fork pinned to a CPU.

A fork, because a check may have to die, and because a permission once held is never lost.
"""

from __future__ import annotations

__all__ = [
    "SECONDS_FOR_ONE",
    "Broken",
    "Check",
    "CheckResult",
    "NotHere",
    "Outcome",
    "run_check",
]

import faulthandler
import os
import select
import signal
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

import msgspec

from amx_suite.child.main import exit_code_of, fork
from amx_suite.tmul.kernel_calls import signal_name

#: Far more than any check takes on a loaded machine.
SECONDS_FOR_ONE = 60.0


class Broken(Exception):  # noqa: N818 - a finding, not an error of the program
    """The machine or its kernel does not do as specified; the message says how."""


class NotHere(Exception):  # noqa: N818 - likewise
    """The check cannot be made on this machine; the message says why."""


class Check(NamedTuple):
    """``run(cpu)`` must return or, with ``ends_by``, be killed by that signal.

    It raises Broken or NotHere otherwise. ``control`` does the same in the legal way and must
    return: it shows that the process was killed for the illegal part alone.
    """

    run: Callable[[int], None]
    ends_by: signal.Signals | None = None
    control: Callable[[int], None] | None = None


class Outcome(StrEnum):
    """How a check ended on one CPU."""

    OK = "ok"
    BROKEN = "broken"
    NOT_HERE = "not applicable"


class CheckResult(msgspec.Struct, frozen=True):
    """One check on one CPU; ``detail`` is the finding where it is not OK."""

    check: str
    cpu: int
    outcome: Outcome
    detail: str = ""


def run_check(name: str, cpu: int, check: Check, seconds: float = SECONDS_FOR_ONE) -> CheckResult:
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
    except NotHere as reason:
        outcome, detail = Outcome.NOT_HERE, str(reason)
    except Broken as finding:
        detail = str(finding)
    except BaseException as error:  # noqa: BLE001 - whatever it is, the check did not pass
        detail = f"{type(error).__name__}: {error}"
    os.write(writer, msgspec.json.encode((outcome, detail)))
    return 0
