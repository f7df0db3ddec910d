"""What the kernel owes to tile state: permission, inheritance, switches, signals, page faults.

Each check runs in a process of its own that holds no tile permission yet and is pinned to one CPU;
it returns if all is well and raises Broken or NotHere otherwise. The first six are what Linux's own
test for AMX covers (tools/testing/selftests/x86/amx.c), ptrace left out: a debugger's view of the
tiles is not what computes.
"""

from __future__ import annotations

__all__ = ["STATE_CHECKS", "due_tiles", "require_tiles", "stored_tiles"]

import ctypes
import errno
import functools
import os
import random
import resource
import signal
import sys
import threading
from collections.abc import Callable, Collection, Iterator

from amx_suite.child.processes import exit_code_of, fork
from amx_suite.tmul.check import Broken, Check, NotHere
from amx_suite.tmul.config import MAX_ROW_BYTES, MAX_ROWS, TILE_BYTES, TILES, tile_config
from amx_suite.tmul.kernel_calls import (
    current_cpu,
    handle_signal,
    set_signal_stack,
    untouched_memory,
)
from amx_suite.tmul.kernels import tile_copy
from amx_suite.tmul.registers import TILE_FILE_BYTES, SignalHandler, TileFile
from amx_suite.tmul.xcomp import XTILEDATA, errno_name, permitted, request_tiles

#: The kernel's least signal stack without dynamic state (MINSIGSTKSZ of asm/signal.h), too small
#: for the tiles' 8192 bytes; and one that is ample.
_SMALL_STACK, _LARGE_STACK = 2048, 65536
#: More threads than a CPU can run at once, and turns that each of them takes.
_THREADS, _TURNS = 5, 20
_SIGNALS = 20
_CROWD_SECONDS = 0.05
#: Of each busy process: the registers that it zeroes. Each is zeroed by some and kept by others.
_ZEROED = ((0, 2, 4, 6), (1, 3, 5, 7), (0, 1, 2, 3), (4, 5, 6, 7), tuple(range(TILES)))
#: Between its loads and its stores.
_YIELDS = 4
#: (rows, bytes in a row) of each register, no two alike.
_SHAPES = tuple((MAX_ROWS - tile, MAX_ROW_BYTES - 4 * tile) for tile in range(TILES))
#: Bytes between rows that are to fault one by one: the kernel maps 64 KiB around a fault at once.
_APART = 1 << 17

#: Before anything is pinned.
_ALLOWED = frozenset(os.sched_getaffinity(0))

#: Asks a fresh program what it is permitted; only the standard library, so that it starts quickly.
_ASK_AFTER_EXEC = (
    "import runpy, sys; reply = runpy.run_path(sys.argv[1])['permitted'](); "
    "sys.exit(reply.value is None or bool(reply.value >> 18 & 1))"
)


def require_tiles() -> TileFile:
    """Get the permission, or raise Broken."""
    reply = request_tiles()
    if reply.value is None:
        raise Broken(f"the kernel refused the tile permission: {errno_name(reply.errno)}")
    return TileFile()


def _holds_permission() -> bool:
    return bool((permitted().value or 0) >> XTILEDATA & 1)


def _pattern(seed: int) -> bytes:
    return random.Random(seed).randbytes(TILE_FILE_BYTES)


def _expect(ok: bool, otherwise: str) -> None:
    if not ok:
        raise Broken(otherwise)


def _child_succeeds(work: Callable[[], bool]) -> bool:
    """Whether ``work`` returned True in a forked child; a child that was killed did not."""
    return exit_code_of(fork(lambda: 0 if work() else 1)) == 0


def _use_without_permission(cpu: int) -> None:
    """Expected to die of SIGILL."""
    TileFile().hold(_pattern(cpu))
    raise Broken("a tile instruction ran though the kernel had given no permission")


def _permission(cpu: int) -> None:
    _expect(not _holds_permission(), "the permission was held before it was asked for")
    tiles = require_tiles()
    _expect(_holds_permission(), "the permission was granted and is not held")
    data = _pattern(cpu)
    tiles.hold(data)
    _expect(tiles.holds(data), "the tiles do not hold what was loaded into them")


def _small_signal_stack_before(cpu: int) -> None:
    _stack, refused = set_signal_stack(_SMALL_STACK)
    if refused:
        raise NotHere(f"a signal stack of {_SMALL_STACK} bytes: {errno_name(refused)}")
    found = errno_name(request_tiles().errno)
    _expect(found == "ENOSPC", f"with a signal stack too small, the request said {found}")


def _small_signal_stack_after(cpu: int) -> None:
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
    _expect(not _child_succeeds(lambda: tiles.holds(ours)), "a forked child got its parent's tiles")
    _expect(tiles.holds(ours), "the parent's tiles were lost in a fork")

    def work() -> bool:
        theirs = _pattern(cpu + 1)
        tiles.hold(theirs)
        return _holds_permission() and tiles.holds(theirs)

    _expect(_child_succeeds(work), "a forked child could not use tiles of its own")
    _expect(tiles.holds(ours), "the parent's tiles were lost while its child used tiles")


def _exec(cpu: int) -> None:
    require_tiles()
    xcomp = sys.modules[permitted.__module__].__file__ or ""
    program = [sys.executable, "-S", "-c", _ASK_AFTER_EXEC, xcomp]
    # Nothing but the exec is of interest, so none of what a child of the suite has is wanted.
    code = exit_code_of(os.posix_spawn(sys.executable, program, os.environ))
    _expect(code == 0, "a program started by exec held the permission of the one before it")


def _context_switches(cpu: int) -> None:
    """Threads on one CPU wait for each other in turns, each with tiles of its own."""
    tiles = require_tiles()
    barrier = threading.Barrier(_THREADS, timeout=30)
    complaints: list[str] = []
    switches: list[int] = []

    def work(index: int) -> None:
        mine = _pattern(cpu * _THREADS + index)
        tiles.hold(mine)
        for turn in range(_TURNS):
            barrier.wait()
            if not tiles.holds(mine):
                complaints.append(f"thread {index} lost its tiles by its {turn + 1}. switch")
                barrier.abort()
                return
        usage = resource.getrusage(resource.RUSAGE_THREAD)
        switches.append(usage.ru_nvcsw + usage.ru_nivcsw)

    threads = [threading.Thread(target=work, args=(index,)) for index in range(_THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    _expect(not complaints, "; ".join(complaints))
    _expect(len(switches) == _THREADS, "not every thread came to its end")
    _expect(min(switches) > 0, "a thread was never switched out, so nothing was checked")


def _preemption(cpu: int) -> None:
    """More busy processes than the CPU can run, all of them with live tiles that they never yield.

    The kernel takes the CPU from them at a moment of its own.
    """
    tiles = require_tiles()

    def work(index: int) -> bool:
        mine = _pattern(cpu + index)
        tiles.hold(mine)
        before = _switches()
        return all(tiles.holds(mine) for _ in _while_busy()) and _switches() > before

    codes = _crowd(work)
    _expect(
        not any(codes), f"busy processes lost their tiles or were never preempted: exits {codes}"
    )


def _zeroed_tiles(cpu: int) -> None:
    """All eight tiles are loaded, some zeroed, and stored after others had the registers.

    Tiles that are all zero may count as unused state, which a CPU need not save (SDM volume 1,
    chapter 13, XINUSE); what others had in the registers meanwhile must not come back instead.
    """
    require_tiles()

    def work(index: int) -> bool:
        data, zeroed = _pattern(cpu + index), _ZEROED[index]
        copy = tile_copy(range(TILES), zeroed=zeroed, yields=_YIELDS)
        switches = 0
        for _ in _while_busy():
            before = _switches()
            stored = stored_tiles(copy, data)
            switches += _switches() - before
            if stored != due_tiles(data, zeroed):
                return False
        return switches > 0

    codes = _crowd(work)
    _expect(
        not any(codes),
        f"busy processes stored other tiles than they loaded or zeroed, or were never switched out "
        f"with live tiles: exits {codes}",
    )


def stored_tiles(copy: Callable[..., None], data: bytes) -> bytes:
    """What all eight registers, of eight shapes, leave in memory that held ``data`` backwards.

    ``copy`` is a kernel as ``kernels.tile_copy`` makes them; ``data`` is TILE_FILE_BYTES long.
    """
    target = ctypes.create_string_buffer(data[::-1], TILE_FILE_BYTES)
    copy(tile_config(_SHAPES), data, target, MAX_ROW_BYTES, MAX_ROW_BYTES)
    return target.raw


def due_tiles(data: bytes, zeroed: Collection[int]) -> bytes:
    """What ``stored_tiles`` is to be: rows as they were loaded or zero, all else untouched."""
    due = bytearray(data[::-1])
    for tile, (rows, row_bytes) in enumerate(_SHAPES):
        for row in range(rows):
            start = tile * TILE_BYTES + row * MAX_ROW_BYTES
            place = slice(start, start + row_bytes)
            due[place] = bytes(row_bytes) if tile in zeroed else data[place]
    return bytes(due)


def _switches() -> int:
    """How often another took the CPU from this process, or was let have it by sched_yield."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw


def _while_busy() -> Iterator[None]:
    """Again and again until this process has used its share of the CPU."""
    end = resource.getrusage(resource.RUSAGE_SELF).ru_utime + _CROWD_SECONDS
    while resource.getrusage(resource.RUSAGE_SELF).ru_utime < end:
        yield


def _crowd(work: Callable[[int], bool]) -> list[int]:
    """The exit codes of processes that do ``work(index)`` beside each other; 0 for True."""
    children = [fork(functools.partial(_exit_code, work, index)) for index in range(_THREADS)]
    return [exit_code_of(pid) for pid in children]


def _exit_code(work: Callable[[int], bool], index: int) -> int:
    return 0 if work(index) else 1


def _migration(cpu: int) -> None:
    tiles, data = require_tiles(), _pattern(cpu)
    home, allowed = {cpu}, _ALLOWED - {cpu}
    if not allowed:
        raise NotHere("this process may use one CPU only")
    tiles.hold(data)
    for other in sorted(allowed):
        for target in ({other}, home):
            os.sched_setaffinity(0, target)
            _expect(current_cpu() in target, f"the thread did not move to CPU {target}")
            _expect(tiles.holds(data), f"the tiles were lost on the way to CPU {min(target)}")


def _signals(cpu: int, *, on_stack: bool = False) -> None:
    """A handler that overwrites every tile runs; afterwards the tiles are as they were."""
    tiles, data = require_tiles(), _pattern(cpu)
    handler = SignalHandler(_pattern(cpu + 1))
    if on_stack:
        _stack, refused = set_signal_stack(_LARGE_STACK)
        _expect(not refused, f"a signal stack of {_LARGE_STACK} bytes: {errno_name(refused)}")
    handle_signal(signal.SIGUSR1, handler.address, on_stack=on_stack)
    tiles.hold(data)
    for turn in range(1, _SIGNALS + 1):
        os.kill(os.getpid(), signal.SIGUSR1)
        _expect(handler.calls == turn, f"the handler ran {handler.calls} times of {turn}")
        _expect(tiles.holds(data), f"the tiles were lost in signal {turn}")


def _signals_on_a_stack(cpu: int) -> None:
    _signals(cpu, on_stack=True)


def _page_faults(cpu: int) -> None:
    """A load and a store each of whose rows lies in a page not touched before.

    Both are interrupted by each fault and taken up again at the row where they stopped (SDM volume
    1, chapter 18, start_row).
    """
    require_tiles()
    rows = [_pattern(cpu)[r * MAX_ROW_BYTES :][:MAX_ROW_BYTES] for r in range(MAX_ROWS)]
    source, load_from = untouched_memory(b"".join(row.ljust(_APART, b"\0") for row in rows))
    target, store_to = untouched_memory(bytes(MAX_ROWS * _APART))
    copy = tile_copy([0])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    copy(tile_config([(MAX_ROWS, MAX_ROW_BYTES)]), load_from, store_to, _APART, _APART)
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
    "no-permission-with-small-signal-stack": Check(_small_signal_stack_before),
    "fork": Check(_fork),
    "context-switches": Check(_context_switches),
    "signals": Check(_signals),
    "signals-on-alternate-stack": Check(_signals_on_a_stack),
    "no-small-signal-stack-with-permission": Check(_small_signal_stack_after),
    "exec": Check(_exec),
    "preemption": Check(_preemption),
    "migration": Check(_migration),
    "zeroed-tiles": Check(_zeroed_tiles),
    "page-faults": Check(_page_faults),
}
