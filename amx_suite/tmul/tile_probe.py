"""What children find out about tiles: the kernel's answers, and how a check ended on each CPU."""

from __future__ import annotations

__all__ = [
    "MULTIPLICATION",
    "Answered",
    "Ask",
    "Checked",
    "Questions",
    "RunCheck",
    "TileResult",
    "TileStatus",
    "probe_tiles",
]

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, ClassVar

import msgspec

from amx_suite.child.channel import ArrayMap, Reply, Request
from amx_suite.child.handle import Child
from amx_suite.errors import LostChildError, LostToLimitError
from amx_suite.tmul.xcomp import QUESTIONS, errno_name

#: The check that ``probe_tiles`` runs.
MULTIPLICATION = "multiplication"

#: CPUs that hang before ``probe_tiles`` gives up.
_MOST_THAT_HANG = 4


class Ask(Request, frozen=True, tag=True):
    """Ask the kernel this question of ``xcomp.QUESTIONS``."""

    seconds_to_answer: ClassVar[float] = 20.0

    question: str


class Answered(Reply, frozen=True, tag=True):
    """The kernel's answer: a value, or the name of an errno."""

    value: int | None
    errno: str


class Questions:
    """Handles ``Ask`` in a child that exists for nothing else."""

    requests: ClassVar[Any] = Ask

    def handle(self, request: Ask, arrays: ArrayMap) -> tuple[Answered, ArrayMap]:
        """Ask the kernel; a system-call filter may kill the process for it."""
        value, number = QUESTIONS[request.question]()
        return Answered(value, "" if value is not None else errno_name(number)), {}


class TileStatus(StrEnum):
    """How a check ended on one CPU."""

    OK = "ok"
    WRONG = "wrong result"
    SIGNAL = "signal"
    TIMEOUT = "timeout"
    REFUSED = "permission refused"
    UNPINNED = "not pinned"
    NOT_HERE = "not applicable"
    NOT_RUN = "not run"


class TileResult(msgspec.Struct, frozen=True):
    """One CPU's outcome. ``detail`` names the signal, the errno or what is wrong."""

    cpu: int
    status: TileStatus
    detail: str = ""


class RunCheck(Request, frozen=True, tag=True):
    """Run the check of that name on these CPUs at once."""

    # More than twice the time of a check, because it may have a control.
    seconds_to_answer: ClassVar[float] = 150.0

    check: str
    cpus: tuple[int, ...]


class Checked(Reply, frozen=True, tag=True):
    """How the check ended on each CPU."""

    results: tuple[TileResult, ...]


def probe_tiles(
    cpus: Sequence[int], handler: str = "amx_suite.tmul.checks:Checks"
) -> tuple[TileResult, ...]:
    """Multiply tiles once on each CPU; one result for each CPU, in the given order.

    After four CPUs that hang the rest are not run, so that a machine on which every CPU hangs does
    not cost minutes. Raises LimitReachedError, which says nothing of a CPU.
    """
    results: list[TileResult] = []
    why = f"given up after {_MOST_THAT_HANG} CPUs that hang"
    try:
        with Child(handler, label="tile probe") as child:
            for cpu in cpus:
                if [each.status for each in results].count(TileStatus.TIMEOUT) == _MOST_THAT_HANG:
                    break
                results += child.ask(RunCheck(MULTIPLICATION, (cpu,)), Checked).results
    except LostToLimitError:
        raise
    except LostChildError as lost:
        last = "".join(f" ({line})" for line in lost.stderr_tail.splitlines()[-1:])
        why = f"the child ended before it reached this CPU: {lost.what}{last}"
    left = cpus[len(results) :]
    return (*results, *(TileResult(cpu, TileStatus.NOT_RUN, why) for cpu in left))
