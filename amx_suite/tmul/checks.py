"""Every check of tile instructions by name, and how a child runs one on a CPU.

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
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import msgspec

from amx_suite.child.channel import ArrayMap
from amx_suite.child.handle import Child
from amx_suite.child.main import exit_code_of, fork
from amx_suite.tmul.batch import TileBatch
from amx_suite.tmul.exactness import BatchCheck
from amx_suite.tmul.fault_checks import FAULT_CHECKS
from amx_suite.tmul.kernel_calls import signal_name
from amx_suite.tmul.state_checks import STATE_CHECKS, Check, CheckEnded, require_tiles
from amx_suite.tmul.tile_probe import MULTIPLICATION, Checked, RunCheck, TileResult, TileStatus
from amx_suite.tmul.xcomp import errno_name

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
        """Run it in a fork."""
        return Checked(run_check(self.checks[request.check], request.cpu)), {}


def run_checks(
    cpus: Sequence[int], handler: str = f"{__name__}:Checks"
) -> Iterator[tuple[str, TileResult]]:
    """Each check's name and result as it comes: every check of ``CHECKS`` on every CPU.

    Raises LostChildError if the child itself, not a check, dies or hangs.
    """
    with Child(handler, label="tile checks") as child:
        for name in CHECKS:
            for cpu in cpus:
                yield name, child.ask(RunCheck(name, cpu), Checked).result


def run_check(check: Check, cpu: int) -> TileResult:
    """Run the check's control and then the check, each in a fork pinned to the CPU."""
    if check.control is not None:
        status, detail = _forked(check.control, None, cpu, check.seconds)
        if status is not TileStatus.OK:
            return TileResult(cpu, status, f"its control: {detail}")
    return TileResult(cpu, *_forked(check.run, check.ends_by, cpu, check.seconds))


def _forked(
    run: Callable[[int], None], ends_by: signal.Signals | None, cpu: int, seconds: float
) -> tuple[TileStatus, str]:
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
        return TileStatus.TIMEOUT, f"it did not end within {seconds:g} s"
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
    # Many a check has to die, and its signal says enough without a traceback.
    faulthandler.disable()
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
