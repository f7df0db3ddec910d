"""Does the kernel permit tiles, and does each CPU multiply tiles right? Asked in a child.

The child may die of either question. Where it dies or hangs on a CPU, that is the CPU's outcome,
and a new child tries the remaining CPUs.
"""

from __future__ import annotations

__all__ = [
    "Answered",
    "Ask",
    "Questions",
    "TileProbe",
    "TileResult",
    "TileStatus",
    "TryTile",
    "probe_tiles",
]

import os
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, ClassVar

import msgspec

from amx_suite.child.channel import ArrayMap, Reply, Request
from amx_suite.child.handle import Child
from amx_suite.errors import LostChildError
from amx_suite.tmul.batch import TileBatch
from amx_suite.tmul.kernel_calls import signal_name
from amx_suite.tmul.xcomp import QUESTIONS, errno_name, request_tiles

#: One multiplication of full tiles.
_BATCH = TileBatch("tdpbf16ps", "ordinary", seed=0, tiles=1)


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
    """How the tile multiplication went on one CPU."""

    OK = "ok"
    WRONG = "wrong result"
    SIGNAL = "signal"
    TIMEOUT = "timeout"
    REFUSED = "permission refused"
    UNPINNED = "not pinned"
    NOT_RUN = "not run"


class TileResult(msgspec.Struct, frozen=True):
    """One CPU's outcome. ``detail`` names the signal, the errno or the first wrong element."""

    cpu: int
    status: TileStatus
    detail: str = ""


class TryTile(Request, frozen=True, tag=True):
    """Multiply on this CPU."""

    seconds_to_answer: ClassVar[float] = 5.0

    cpu: int


class Tried(Reply, frozen=True, tag=True):
    """How it went."""

    result: TileResult


class TileProbe:
    """Handles ``TryTile``."""

    requests: ClassVar[Any] = TryTile

    def __init__(self) -> None:
        # Late, because the parent needs neither numpy nor llvmlite.
        from amx_suite.tmul.exactness import BatchCheck

        self._check = BatchCheck(_BATCH)

    def handle(self, request: TryTile, arrays: ArrayMap) -> tuple[Tried, ArrayMap]:
        """Where tiles do not work, a signal ends the process."""
        return Tried(TileResult(request.cpu, *self._try(request.cpu))), {}

    def _try(self, cpu: int) -> tuple[TileStatus, str]:
        permission = request_tiles()
        if permission.value is None:
            return TileStatus.REFUSED, errno_name(permission.errno)
        try:
            os.sched_setaffinity(0, {cpu})
        except OSError as error:
            return TileStatus.UNPINNED, errno_name(error.errno or 0)
        result = self._check.run_for(0.0).result
        if result.is_exact:
            return TileStatus.OK, ""
        return TileStatus.WRONG, str(result).removeprefix(f"CPU {result.cpu}: ")


def probe_tiles(
    cpus: Sequence[int], handler: str = f"{__name__}:TileProbe", *, max_children: int = 4
) -> tuple[TileResult, ...]:
    """Try each CPU once; one result for each CPU, in the given order.

    After ``max_children`` children the remaining CPUs are not run, so that a machine on which every
    CPU fails does not cost minutes.
    """
    results: list[TileResult] = []
    why = f"given up after {max_children} child processes"
    for _ in range(max_children):
        if len(results) == len(cpus):
            break
        child = None
        try:
            with Child(handler, label="tile probe") as child:
                while len(results) < len(cpus):
                    cpu = cpus[len(results)]
                    results.append(child.ask(TryTile(cpu), Tried).result)
        except LostChildError as lost:
            if child is None:
                why = f"the child ended before it reached a CPU: {_how(lost)}"
                break
            results.append(_of_lost_child(cpus[len(results)], lost))
    return (*results, *(TileResult(cpu, TileStatus.NOT_RUN, why) for cpu in cpus[len(results) :]))


def _of_lost_child(cpu: int, lost: LostChildError) -> TileResult:
    if lost.signal is not None:
        return TileResult(cpu, TileStatus.SIGNAL, signal_name(lost.signal))
    if lost.silent:
        return TileResult(cpu, TileStatus.TIMEOUT, "the child gave no answer in time")
    return TileResult(cpu, TileStatus.NOT_RUN, _how(lost))


def _how(lost: LostChildError) -> str:
    last = lost.stderr_tail.splitlines()[-1:]
    return lost.what + "".join(f" ({line})" for line in last)
