"""Run one real tile multiplication on every given CPU, and survive what comes of it.

The work is done by ``tile_child``, which only the child imports. A CPU on which the child dies or
falls silent has its own outcome; the remaining CPUs are tried in a new child.
"""

from __future__ import annotations

__all__ = ["TileResult", "TileStatus", "Tried", "TryTile", "probe_tiles", "start_tile_probe"]

from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

import msgspec

from amx_suite.child.messages import Reply, Request
from amx_suite.errors import ChildFailedError, LostChildError
from amx_suite.tmul.kernel_calls import signal_name

if TYPE_CHECKING:
    from amx_suite.child.handle import Child

#: Seconds for Python, llvmlite and the assembly.
_START_SECONDS = 30.0


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


def start_tile_probe() -> Child:
    """A child that answers ``TryTile``."""
    # The child imports this module too, and starts none.
    from amx_suite.child.handle import Child

    handler = "amx_suite.tmul.tile_child:TileProbe"
    return Child(handler, label="tile probe", start_seconds=_START_SECONDS)


def probe_tiles(
    cpus: Sequence[int],
    *,
    start: Callable[[], Child] = start_tile_probe,
    max_children: int = 4,
) -> tuple[TileResult, ...]:
    """Try each CPU once; one result for each CPU, in the given order.

    Once ``max_children`` were started the rest is not run, so that a machine on which every CPU
    fails does not cost minutes.
    """
    results: dict[int, TileResult] = {}
    for _ in range(max_children):
        pending = [cpu for cpu in cpus if cpu not in results]
        if not pending:
            break
        results |= {result.cpu: result for result in _try_in_one_child(start, pending)}
    given_up = f"given up after {max_children} child processes"
    return tuple(results.get(cpu, TileResult(cpu, TileStatus.NOT_RUN, given_up)) for cpu in cpus)


def _try_in_one_child(start: Callable[[], Child], cpus: Sequence[int]) -> list[TileResult]:
    """What one child found out; about every CPU if it could not try any."""
    found: list[TileResult] = []
    try:
        with start() as child:
            for cpu in cpus:
                try:
                    result = child.ask(TryTile(cpu), Tried).result
                    strange = TileResult(cpu, TileStatus.NOT_RUN, f"CPU {result.cpu} answered")
                    found.append(result if result.cpu == cpu else strange)
                except ChildFailedError as error:
                    found.append(TileResult(cpu, TileStatus.NOT_RUN, error.what))
                except LostChildError as lost:
                    found.append(_what_became_of(cpu, lost))
                    break
    except LostChildError as lost:
        why = f"the child ended before it reached a CPU: {lost.what}{_last_line(lost)}"
        return [TileResult(cpu, TileStatus.NOT_RUN, why) for cpu in cpus]
    return found


def _what_became_of(cpu: int, lost: LostChildError) -> TileResult:
    if lost.signal is not None:
        return TileResult(cpu, TileStatus.SIGNAL, signal_name(lost.signal))
    if lost.silent:
        return TileResult(cpu, TileStatus.TIMEOUT, "it fell silent")
    return TileResult(cpu, TileStatus.NOT_RUN, f"{lost.what}{_last_line(lost)}")


def _last_line(lost: LostChildError) -> str:
    lines = lost.stderr_tail.splitlines()
    return f" ({lines[-1]})" if lines else ""
