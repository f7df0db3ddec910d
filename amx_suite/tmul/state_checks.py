"""How the kernel must treat tile state: permission, inheritance, switches, signals, page faults.

Each check runs in a process of its own that holds no tile permission yet and is pinned to one CPU.
It returns if all is well and raises CheckEnded otherwise. The first six are those of Linux's
own test for AMX (tools/testing/selftests/x86/amx.c) without ptrace: a debugger's view of the tiles
does not compute.
"""

from __future__ import annotations

__all__ = ["STATE_CHECKS", "Check", "CheckEnded", "require_tiles"]

import errno
import functools
import os
import random
import resource
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from amx_suite.child.main import exit_code_of, fork
from amx_suite.tmul.config import MAX_ROW_BYTES, MAX_ROWS, TILES, tile_config
from amx_suite.tmul.jit import assemble
from amx_suite.tmul.kernel_calls import current_cpu, set_signal_stack, untouched_memory
from amx_suite.tmul.registers import TILE_FILE_BYTES, SignalHandler, TileFile
from amx_suite.tmul.tile_probe import TileStatus
from amx_suite.tmul.xcomp import XTILEDATA, errno_name, permitted, request_tiles

#: The kernel's smallest signal stack without dynamic state (MINSIGSTKSZ of asm/signal.h), too
#: small for the tiles' 8192 bytes; and a large enough one.
_SMALL_STACK, _LARGE_STACK = 2048, 65536
#: Threads that share one CPU, and turns that each of them takes; busy processes that share one.
_THREADS, _TURNS, _PROCESSES = 5, 20, 5
_SIGNALS = 20
_BUSY_SECONDS = 0.05
#: The registers that each busy process zeroes. Some zero a register that others keep.
_ZEROED = ((0, 2, 4, 6), (1, 3, 5, 7), (0, 1, 2, 3), (4, 5, 6, 7), tuple(range(TILES)))
_YIELDS = 4
#: (rows, bytes in a row) of each register, no two alike.
_SHAPES = tuple((MAX_ROWS - tile, MAX_ROW_BYTES - 4 * tile) for tile in range(TILES))
#: Bytes between rows, so that each row faults: the kernel maps 64 KiB around a fault at once.
_APART = 1 << 17

#: Read before anything is pinned.
_ALLOWED = frozenset(os.sched_getaffinity(0))

#: Asks for a fresh program's permission; only the standard library, so that it starts quickly.
_ASK_AFTER_EXEC = (
    "import runpy, sys; reply = runpy.run_path(sys.argv[1])['permitted'](); "
    "sys.exit(reply.value is None or bool(reply.value >> 18 & 1))"
)


class CheckEnded(Exception):  # noqa: N818 - a finding, not an error of the program
    """The check did not end as it should; ``detail`` is the finding."""

    def __init__(self, status: TileStatus, detail: str) -> None:
        super().__init__(status, detail)
        self.status, self.detail = status, detail


class Check(NamedTuple):
    """``run(cpu)`` must return or, with ``ends_by``, be killed by that signal, in ``seconds``.

    ``control`` does the same in the legal way and must return: it shows that the process was killed
    for the illegal part alone.
    """

    run: Callable[[int], None]
    ends_by: signal.Signals | None = None
    control: Callable[[int], None] | None = None
    #: Far more than any check takes on a loaded machine.
    seconds: float = 60.0


def require_tiles() -> TileFile:
    """Get the permission, or raise CheckEnded."""
    reply = request_tiles()
    if reply.value is None:
        raise CheckEnded(TileStatus.REFUSED, errno_name(reply.errno))
    return TileFile()


def _holds_permission() -> bool:
    return bool((permitted().value or 0) >> XTILEDATA & 1)


def _pattern(seed: int) -> bytes:
    return random.Random(seed).randbytes(TILE_FILE_BYTES)


def _expect(ok: bool, otherwise: str) -> None:
    if not ok:
        raise CheckEnded(TileStatus.WRONG, otherwise)


def _exit_codes(work: Callable[[int], bool], count: int = 1) -> list[int]:
    """Run ``work(0)``, ``work(1)``, ... in forks at the same time; the code is 0 for True."""

    def code(index: int) -> int:
        return 0 if work(index) else 1

    children = [fork(functools.partial(code, index)) for index in range(count)]
    return [exit_code_of(pid) for pid in children]


def _use_without_permission(cpu: int) -> None:
    """Must die of SIGILL."""
    TileFile().hold(_pattern(cpu))
    raise CheckEnded(
        TileStatus.WRONG, "a tile instruction ran though the kernel had given no permission"
    )


def _permission(cpu: int) -> None:
    _expect(not _holds_permission(), "the permission was held before it was asked for")
    tiles = require_tiles()
    _expect(_holds_permission(), "the permission was granted but is not held")
    data = _pattern(cpu)
    tiles.hold(data)
    _expect(tiles.holds(data), "the tiles do not hold what was loaded into them")


def _small_signal_stack_first(cpu: int) -> None:
    _stack, refused = set_signal_stack(_SMALL_STACK)
    if refused:
        raise CheckEnded(
            TileStatus.NOT_HERE, f"a signal stack of {_SMALL_STACK} bytes: {errno_name(refused)}"
        )
    found = errno_name(request_tiles().errno)
    _expect(found == "ENOSPC", f"with a signal stack too small, the request said {found}")


def _small_signal_stack_later(cpu: int) -> None:
    require_tiles()
    _stack, number = set_signal_stack(_SMALL_STACK)
    found = errno_name(number) if number else "success"
    _expect(number == errno.ENOMEM, f"a signal stack too small for the tiles: {found}")


def _fork(cpu: int) -> None:
    """The child inherits the permission but not the data, and its work leaves the parent's alone.

    The kernel copies only the ordinary state (arch/x86/kernel/fpu/core.c, fpu_clone).
    """
    tiles, ours = require_tiles(), _pattern(cpu)
    tiles.hold(ours)
    inherited = _exit_codes(lambda _: tiles.holds(ours)) == [0]
    _expect(not inherited, "a forked child got its parent's tiles")
    _expect(tiles.holds(ours), "the parent's tiles were lost in a fork")

    def work(_index: int) -> bool:
        theirs = _pattern(cpu + 1)
        tiles.hold(theirs)
        return _holds_permission() and tiles.holds(theirs)

    _expect(_exit_codes(work) == [0], "a forked child could not use tiles of its own")
    _expect(tiles.holds(ours), "the parent's tiles were lost while its child used tiles")


def _exec(cpu: int) -> None:
    require_tiles()
    xcomp = sys.modules[permitted.__module__].__file__ or ""
    program = [sys.executable, "-S", "-c", _ASK_AFTER_EXEC, xcomp]
    # Not one of the suite's children: only the exec matters here.
    code = exit_code_of(os.posix_spawn(sys.executable, program, os.environ))
    _expect(code == 0, "a program started by exec held the permission of the one before it")


def _context_switches(cpu: int) -> None:
    """Threads on one CPU take turns, each with tiles of its own."""
    tiles = require_tiles()
    barrier = threading.Barrier(_THREADS, timeout=30)

    def work(index: int) -> tuple[int, int]:
        mine = _pattern(cpu * _THREADS + index)
        tiles.hold(mine)
        lost = 0
        for _ in range(_TURNS):
            barrier.wait()
            lost += not tiles.holds(mine)
        usage = resource.getrusage(resource.RUSAGE_THREAD)
        return lost, usage.ru_nvcsw + usage.ru_nivcsw

    with ThreadPoolExecutor(_THREADS) as pool:
        losses, switches = zip(*pool.map(work, range(_THREADS)), strict=True)
    _expect(not any(losses), f"threads lost their tiles in {losses} of {_TURNS} switches")
    _expect(min(switches) > 0, "a thread was never switched out, so nothing was checked")


def _preemption(cpu: int) -> None:
    """Several busy processes on one CPU, each with live tiles; the kernel preempts them."""
    tiles = require_tiles()

    def work(index: int) -> bool:
        mine = _pattern(cpu + index)
        tiles.hold(mine)
        before = _switches()
        return all(tiles.holds(mine) for _ in _while_busy()) and _switches() > before

    codes = _exit_codes(work, _PROCESSES)
    _expect(
        not any(codes), f"busy processes lost their tiles or were never preempted: exits {codes}"
    )


def _zeroed_tiles(cpu: int) -> None:
    """Processes load eight tiles of eight shapes, zero some, let others run, and look again.

    A CPU need not save tiles that are all zero (SDM volume 1, chapter 13, XINUSE); another
    process's data must not come back instead.
    """
    require_tiles()
    tiles = TileFile(_SHAPES)

    def work(index: int) -> bool:
        data, zeroed = _pattern(cpu + index), _ZEROED[index]
        switches = 0
        for _ in _while_busy():
            tiles.hold(data)
            tiles.zero(zeroed)
            before = _switches()
            for _ in range(_YIELDS):
                os.sched_yield()
            switches += _switches() - before
            if not tiles.holds(data, zeroed):
                return False
        return switches > 0

    codes = _exit_codes(work, _PROCESSES)
    _expect(
        not any(codes),
        f"busy processes held other tiles than they loaded or zeroed, or were never switched out "
        f"with live tiles: exits {codes}",
    )


def _switches() -> int:
    """How often this process lost the CPU, by preemption or sched_yield."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def _while_busy() -> Iterator[None]:
    """Yield until this process has used _BUSY_SECONDS of CPU time."""
    end = resource.getrusage(resource.RUSAGE_SELF).ru_utime + _BUSY_SECONDS
    while resource.getrusage(resource.RUSAGE_SELF).ru_utime < end:
        yield


def _migration(cpu: int) -> None:
    tiles, data = require_tiles(), _pattern(cpu)
    home, allowed = {cpu}, _ALLOWED - {cpu}
    if not allowed:
        raise CheckEnded(TileStatus.NOT_HERE, "this process may use one CPU only")
    tiles.hold(data)
    # The next CPU first: the check runs on all CPUs at once, and they should not all meet on one.
    for other in sorted(allowed, key=lambda other: (other < cpu, other)):
        for target in ({other}, home):
            os.sched_setaffinity(0, target)
            _expect(current_cpu() in target, f"the thread did not move to CPU {target}")
            _expect(tiles.holds(data), f"the tiles were lost on the way to CPU {min(target)}")


def _signals(cpu: int, *, on_stack: bool = False) -> None:
    """A signal handler that overwrites every tile leaves the interrupted code's tiles alone."""
    tiles, data = require_tiles(), _pattern(cpu)
    handler = SignalHandler(_pattern(cpu + 1))
    if on_stack:
        _stack, refused = set_signal_stack(_LARGE_STACK)
        _expect(not refused, f"a signal stack of {_LARGE_STACK} bytes: {errno_name(refused)}")
    handler.install(signal.SIGUSR1, on_stack=on_stack)
    tiles.hold(data)
    for turn in range(1, _SIGNALS + 1):
        os.kill(os.getpid(), signal.SIGUSR1)
        _expect(handler.calls == turn, f"the handler ran {handler.calls} times of {turn}")
        _expect(tiles.holds(data), f"the tiles were lost in signal {turn}")


def _page_faults(cpu: int) -> None:
    """A load and a store whose every row lies in a page that was not touched before.

    Each fault interrupts them, and they resume at the row where they stopped (SDM volume 1, chapter
    18, start_row).
    """
    require_tiles()
    rows = [_pattern(cpu)[r * MAX_ROW_BYTES :][:MAX_ROW_BYTES] for r in range(MAX_ROWS)]
    source, load_from = untouched_memory(b"".join(row.ljust(_APART, b"\0") for row in rows))
    target, store_to = untouched_memory(bytes(MAX_ROWS * _APART))
    copy = assemble(
        ("ldtilecfg [$0]", "tileloadd tmm0, [$1 + $3*1]", "tilestored [$2 + $3*1], tmm0"),
        ("ptr", "ptr", "ptr", "i64"),
        ("tmm0",),
    )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    copy(tile_config([(MAX_ROWS, MAX_ROW_BYTES)]), load_from, store_to, _APART)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    found = [target[r * _APART : r * _APART + MAX_ROW_BYTES] for r in range(MAX_ROWS)]
    wrong = [number for number, row in enumerate(rows) if found[number] != row]
    _expect(not wrong, f"rows {wrong} are wrong after page faults within one load and one store")
    _expect(faults >= 2 * MAX_ROWS, f"only {faults} page faults, so little was checked")
    del source


#: By name; the argument is the CPU that the process is pinned to.
STATE_CHECKS: dict[str, Check] = {
    "no-use-without-permission": Check(_use_without_permission, signal.SIGILL),
    "permission-before-use": Check(_permission),
    "no-permission-with-small-signal-stack": Check(_small_signal_stack_first),
    "fork": Check(_fork),
    "context-switches": Check(_context_switches),
    "signals": Check(_signals),
    "signals-on-alternate-stack": Check(functools.partial(_signals, on_stack=True)),
    "no-small-signal-stack-with-permission": Check(_small_signal_stack_later),
    "exec": Check(_exec),
    "preemption": Check(_preemption),
    "migration": Check(_migration),
    "zeroed-tiles": Check(_zeroed_tiles),
    "page-faults": Check(_page_faults),
}
