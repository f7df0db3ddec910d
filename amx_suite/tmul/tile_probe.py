"""Run one real tile multiplication on every given CPU, and survive what comes of it.

The work is done by ``tile_child`` in a child process. A CPU on which the child is killed, or falls
silent, is known by the child's last words; the remaining CPUs are tried in a new child.
"""

from __future__ import annotations

__all__ = ["TileResult", "TileStatus", "probe_tiles"]

import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Sequence
from enum import StrEnum
from typing import IO

import msgspec

from amx_suite.tmul.kernel_calls import signal_name

_CHILD_PROGRAM = (sys.executable, "-m", "amx_suite.tmul.tile_child")
_STDERR_TAIL_BYTES = 400

#: Seconds from the child's start to its first line: Python, llvmlite and the assembly.
_START_SECONDS = 30.0
_SECONDS_TO_DIE = 5.0


class TileStatus(StrEnum):
    """How the tile multiplication went on one CPU."""

    OK = "ok"
    WRONG = "wrong result"
    SIGNAL = "signal"
    TIMEOUT = "timeout"
    REFUSED = "permission refused"
    UNPINNED = "not pinned"
    NOT_RUN = "not run"


#: The child's words for a CPU that it lived through.
_OUTCOMES = {"ok": TileStatus.OK, "wrong": TileStatus.WRONG, "unpinned": TileStatus.UNPINNED}


class TileResult(msgspec.Struct, frozen=True):
    """One CPU's outcome. ``detail`` names the signal, the errno or the first wrong element."""

    cpu: int
    status: TileStatus
    detail: str = ""


class _EndedError(Exception):
    """The child will write no more; ``status`` is what the CPU that it was trying gets."""

    def __init__(self, status: TileStatus, how: str) -> None:
        super().__init__(how)
        self.status = status
        self.how = how


def probe_tiles(
    cpus: Sequence[int],
    *,
    program: Sequence[str] = _CHILD_PROGRAM,
    timeout_seconds: float = 5.0,
    max_children: int = 4,
) -> tuple[TileResult, ...]:
    """Try each CPU once; one result for each CPU, in the given order.

    ``timeout_seconds`` bounds the silence on one CPU. Once ``max_children`` were started the rest
    is not run, so that a machine on which every CPU fails does not cost minutes. ``program`` is
    started with the comma-separated CPUs as its last argument.
    """
    results: dict[int, TileResult] = {}
    for _ in range(max_children):
        pending = [cpu for cpu in cpus if cpu not in results]
        if not pending:
            break
        results |= {r.cpu: r for r in _run_child(program, pending, timeout_seconds)}
    given_up = f"given up after {max_children} child processes"
    return tuple(results.get(cpu, TileResult(cpu, TileStatus.NOT_RUN, given_up)) for cpu in cpus)


def _run_child(
    program: Sequence[str], cpus: Sequence[int], timeout_seconds: float
) -> list[TileResult]:
    """What one child found out; about every CPU if it could not try any."""
    found: list[TileResult] = []
    trying: int | None = None
    with (
        tempfile.TemporaryFile() as stderr,
        contextlib.closing(_lines(program, cpus, timeout_seconds, stderr)) as lines,
    ):
        try:
            for line in lines:
                word, cpu, detail = _parse(line, trying)
                if word == "refused":
                    return [TileResult(each, TileStatus.REFUSED, detail) for each in cpus]
                if word == "try":
                    trying = cpu
                else:
                    found.append(TileResult(cpu, _OUTCOMES[word], detail))
                    trying = None
        except _EndedError as end:
            if trying is not None:
                found.append(TileResult(trying, end.status, end.how))
            elif not found:
                why = f"the child ended before it reached a CPU: {end.how}{_tail(stderr)}"
                found = [TileResult(cpu, TileStatus.NOT_RUN, why) for cpu in cpus]
    return found


def _parse(line: str, trying: int | None) -> tuple[str, int, str]:
    """One line as (word, CPU, detail); ``ok`` and ``wrong`` must answer the last ``try``."""
    word, _, rest = line.partition(" ")
    if word == "refused":
        return word, -1, rest
    number, _, detail = rest.partition(" ")
    cpu = int(number) if number.isdecimal() else None
    expected = {"try": cpu, "unpinned": cpu, "ok": trying, "wrong": trying}
    if cpu is None or expected.get(word) != cpu:
        raise _EndedError(TileStatus.NOT_RUN, f"it wrote '{line}', which answers nothing")
    return word, cpu, detail


def _tail(stderr: IO[bytes]) -> str:
    stderr.seek(max(0, stderr.seek(0, os.SEEK_END) - _STDERR_TAIL_BYTES))
    lines = stderr.read().decode(errors="replace").strip().splitlines()
    return f" ({lines[-1]})" if lines else ""


def _lines(
    program: Sequence[str], cpus: Sequence[int], timeout_seconds: float, stderr: IO[bytes]
) -> Generator[str, None, None]:
    """The child's lines as they come; raises _EndedError after the last, never just stops."""
    process = subprocess.Popen(
        [*program, ",".join(map(str, cpus))],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=stderr,
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        buffer = b""
        deadline = time.monotonic() + max(_START_SECONDS, timeout_seconds)
        while True:
            ready, _, _ = select.select([process.stdout], [], [], _seconds_until(deadline))
            if not ready:
                raise _EndedError(TileStatus.TIMEOUT, "it fell silent")
            data = os.read(process.stdout.fileno(), 65536)
            if not data:
                raise _how_it_ended(process)
            *lines, buffer = (buffer + data).split(b"\n")
            for line in lines:
                yield line.decode(errors="replace")
            deadline = time.monotonic() + timeout_seconds
    finally:
        # Also when the reader gives up early: nothing of the child is left behind.
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(_SECONDS_TO_DIE)
        process.stdout.close()


def _seconds_until(deadline: float) -> float:
    return max(0.0, deadline - time.monotonic())


def _how_it_ended(process: subprocess.Popen[bytes]) -> _EndedError:
    try:
        code = process.wait(_SECONDS_TO_DIE)
    except subprocess.TimeoutExpired:
        return _EndedError(TileStatus.TIMEOUT, "it fell silent")
    if code >= 0:
        return _EndedError(TileStatus.NOT_RUN, f"exit code {code}")
    return _EndedError(TileStatus.SIGNAL, signal_name(-code))
