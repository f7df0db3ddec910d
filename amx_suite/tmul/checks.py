"""Every check of tile instructions by name, and how a child runs one on all CPUs at once.

Each runs in a fork pinned to its CPU, because it may have to die. The child that forks holds no
permission, because a permission once held is never lost.
"""

from __future__ import annotations

__all__ = ["CHECKS", "Checks", "run_check", "run_checks"]

import faulthandler
import functools
import os
import select
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import msgspec

from amx_suite.child.channel import ArrayMap
from amx_suite.child.handle import Child, most_children
from amx_suite.child.main import exit_code_of, fork
from amx_suite.tmul.batch import TileBatch
from amx_suite.tmul.exactness import BatchCheck
from amx_suite.tmul.fault_checks import FAULT_CHECKS
from amx_suite.tmul.kernel_calls import forbid_core_files, signal_name
from amx_suite.tmul.state_checks import STATE_CHECKS, Check, CheckEnded, require_tiles
from amx_suite.tmul.tile_probe import MULTIPLICATION, Checked, RunCheck, TileResult, TileStatus
from amx_suite.tmul.xcomp import errno_name

#: A check takes up to 6 processes and 22 MB on each CPU (zeroed-tiles), so all take up to 6 GB.
_MOST_AT_ONCE = 256

#: Every state and fault check by name.
CHECKS: dict[str, Check] = {**STATE_CHECKS, **FAULT_CHECKS}


@functools.cache
def _product() -> BatchCheck:
    """One multiplication of full tiles."""
    return BatchCheck(TileBatch("tdpbf16ps", "ordinary", seed=0, tiles=1))


def _multiply(_cpu: int) -> None:
    require_tiles()
    result = _product().run_for(0.0).result
    if not result.is_exact:
        raise CheckEnded(TileStatus.WRONG, str(result).removeprefix(f"CPU {result.cpu}: "))


class Checks:
    """Handles ``RunCheck``."""

    requests: ClassVar[Any] = RunCheck
    checks: ClassVar[dict[str, Check]] = {**CHECKS, MULTIPLICATION: Check(_multiply, seconds=5.0)}

    def __init__(self) -> None:
        # For all forks.
        _product()

    def handle(self, request: RunCheck, arrays: ArrayMap) -> tuple[Checked, ArrayMap]:
        """Run it in a fork for each CPU."""
        return Checked(run_check(self.checks[request.check], request.cpus)), {}


def run_checks(
    cpus: Sequence[int], handler: str = f"{__name__}:Checks"
) -> Iterator[tuple[str, TileResult]]:
    """Each check's name and results as they come: every check of ``CHECKS`` on every CPU.

    A check runs on all CPUs at once, as far as this process's limit of descriptors allows and on at
    most 256. Raises LostChildError if the child itself, not a check, dies or hangs.
    """
    most = min(_MOST_AT_ONCE, most_children())
    with Child(handler, label="tile checks") as child:
        for name in CHECKS:
            for start in range(0, len(cpus), most):
                asked = RunCheck(name, tuple(cpus[start : start + most]))
                for result in child.ask(asked, Checked).results:
                    yield name, result


def run_check(check: Check, cpus: Sequence[int]) -> tuple[TileResult, ...]:
    """Run the check on these CPUs at once, and before it its control where it has one.

    Each runs in a fork pinned to its CPU. Where the control fails, the check is not run.
    """
    failed: dict[int, TileResult] = {}
    if check.control is not None:
        control = Check(check.control, seconds=check.seconds)
        failed = {
            result.cpu: msgspec.structs.replace(result, detail=f"its control: {result.detail}")
            for result in _at_once(control, cpus)
            if result.status is not TileStatus.OK
        }
    found = _at_once(check, [cpu for cpu in cpus if cpu not in failed])
    by_cpu = failed | {result.cpu: result for result in found}
    return tuple(by_cpu[cpu] for cpu in cpus)


def _at_once(check: Check, cpus: Sequence[int]) -> list[TileResult]:
    """Run the check in a fork on each CPU. All have started before the first is waited for."""
    started = [_started(check, cpu) for cpu in cpus]
    return [
        TileResult(each.cpu, *each.end()) if isinstance(each, _Fork) else each for each in started
    ]


def _started(check: Check, cpu: int) -> _Fork | TileResult:
    try:
        return _Fork(check, cpu)
    except OSError as error:
        what = errno_name(error.errno or 0)
        remedy = "raise the limits of processes (ulimit -u, pids.max) and files (ulimit -n)"
        return TileResult(cpu, TileStatus.NOT_RUN, f"it could not be forked: {what}; {remedy}")


class _Fork:
    """A check in a fork of its own on a CPU. Takes one descriptor until its end."""

    def __init__(self, check: Check, cpu: int) -> None:
        self.cpu, self._check = cpu, check
        self._reader, writer = os.pipe()
        try:
            self._pid = fork(lambda: _in_the_fork(check.run, cpu, writer))
        except OSError:
            os.close(self._reader)
            raise
        finally:
            # So that no other fork holds it, and the reader sees when this one has ended.
            os.close(writer)
        self._deadline = time.monotonic() + check.seconds

    def end(self) -> tuple[TileStatus, str]:
        """Wait for it, kill it after its time, and say how it ended."""
        # Readable once the fork has written, or has ended and so closed its end. Not select, which
        # knows no descriptor beyond 1023.
        poll = select.poll()
        poll.register(self._reader, select.POLLIN)
        in_time = bool(poll.poll(max(0.0, self._deadline - time.monotonic()) * 1000))
        said = os.read(self._reader, 65536) if in_time else b""
        os.close(self._reader)
        if not in_time:
            os.kill(self._pid, signal.SIGKILL)
        code = exit_code_of(self._pid)
        ends_by = self._check.ends_by
        due = f" where {ends_by.name} was due" if ends_by else ""
        if not in_time:
            return TileStatus.TIMEOUT, f"it did not end within {self._check.seconds:g} s"
        if code < 0:
            was_due = code == -(ends_by or 0)
            return (TileStatus.OK, "") if was_due else (TileStatus.SIGNAL, signal_name(-code) + due)
        if not said:
            return TileStatus.NOT_RUN, f"it ended with exit code {code}"
        status, detail = msgspec.json.decode(said, type=tuple[TileStatus, str])
        if ends_by and status is TileStatus.OK:
            return TileStatus.WRONG, f"it returned{due}"
        return status, detail


def _in_the_fork(run: Callable[[int], None], cpu: int, writer: int) -> int:
    # Many a check has to die, and its signal says enough without a traceback or a core file.
    faulthandler.disable()
    forbid_core_files()
    status, detail = TileStatus.OK, ""
    try:
        _pin(cpu)
        run(cpu)
    except CheckEnded as ended:
        status, detail = ended.status, ended.detail
    except BaseException as error:  # noqa: BLE001 - whatever it is, the check did not pass
        status, detail = TileStatus.NOT_RUN, f"{type(error).__name__}: {error}"
    os.write(writer, msgspec.json.encode((status, detail)))
    return 0


def _pin(cpu: int) -> None:
    try:
        os.sched_setaffinity(0, {cpu})
    except OSError as error:
        raise CheckEnded(TileStatus.UNPINNED, errno_name(error.errno or 0)) from error
