"""State and fault checks: how each end is judged, on checks that are made up.

A kernel that refuses tiles is known-bad input for the real ones.
"""

from __future__ import annotations

import errno
import itertools
import mmap
import os
import platform
import signal
import time
from pathlib import Path

import pytest

from amx_suite.child import handle
from amx_suite.errors import LostChildError
from amx_suite.tmul import state_checks
from amx_suite.tmul.checks import CHECKS, run_check, run_checks
from amx_suite.tmul.state_checks import Check, CheckEnded
from amx_suite.tmul.tile_probe import TileResult, TileStatus

pytestmark = [
    pytest.mark.selftest,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="runs x86-64 code"),
]

CPU = min(os.sched_getaffinity(0))
ILL = signal.SIGILL


def _do_nothing(cpu):
    pass


def _pinned(cpu):
    if os.sched_getaffinity(0) != {cpu}:
        raise CheckEnded(TileStatus.WRONG, "elsewhere")


def _die(number):
    def run(cpu):
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        time.sleep(60)

    return run


def _raise(error):
    def run(cpu):
        raise error

    return run


_lost = _raise(CheckEnded(TileStatus.WRONG, "lost"))
_absent = _raise(CheckEnded(TileStatus.NOT_HERE, "one CPU only"))


@pytest.mark.parametrize(
    ("check", "status", "detail"),
    [
        pytest.param(Check(_pinned), "ok", "", id="returns"),
        pytest.param(Check(_die(ILL), ILL, _do_nothing), "ok", "", id="dies"),
        pytest.param(Check(_absent), "not applicable", "one CPU only", id="absent"),
        pytest.param(
            Check(_do_nothing, ILL), "wrong result", "it returned where SIGILL was due", id="alive"
        ),
        pytest.param(
            Check(_die(signal.SIGSEGV), ILL), "signal", "SIGSEGV where SIGILL was due", id="other"
        ),
        pytest.param(Check(_die(ILL)), "signal", "SIGILL", id="not-due"),
        pytest.param(Check(_lost), "wrong result", "lost", id="broken"),
        pytest.param(Check(_lost, ILL), "wrong result", "lost", id="broken-not-killed"),
        pytest.param(Check(_raise(ValueError("bug"))), "not run", "ValueError: bug", id="bug"),
        pytest.param(
            Check(lambda cpu: os._exit(3)), "not run", "it ended with exit code 3", id="exit"
        ),
        pytest.param(
            Check(_die(ILL), ILL, _die(ILL)), "signal", "its control: SIGILL", id="dies-any-way"
        ),
        pytest.param(
            Check(lambda cpu: time.sleep(60), seconds=0.2),
            "timeout",
            "it did not end within 0.2 s",
            id="hangs",
        ),
    ],
)
def test_every_end_is_told_apart(check, status, detail):
    assert run_check(check, [CPU]) == (TileResult(CPU, TileStatus(status), detail),)


@pytest.fixture
def many_cpus(monkeypatch):
    """The process may go to CPUs that this machine does not have."""
    monkeypatch.setattr(os, "sched_setaffinity", lambda process, cpus: None)
    return range(24)


def test_check_runs_on_all_cpus_at_once(many_cpus):
    """Each waits for all others, so one after the other they would never end."""
    arrivals = mmap.mmap(-1, len(many_cpus))

    def meet(times):
        def run(cpu):
            arrivals[cpu] += 1
            while min(arrivals[:]) < times:
                time.sleep(0.01)

        return run

    results = run_check(Check(meet(2), control=meet(1)), many_cpus)
    assert results == tuple(TileResult(cpu, TileStatus.OK) for cpu in many_cpus)


def test_each_cpu_has_its_own_end(many_cpus):
    """Known-bad: one hangs, one dies, one is wrong, one control fails; the others are right."""

    def run(cpu):
        if cpu == 0:
            time.sleep(60)
        elif cpu == 1:
            _die(ILL)(cpu)
        elif cpu == 2:
            _lost(cpu)

    def control(cpu):
        if cpu == 3:
            _die(signal.SIGSEGV)(cpu)

    results = run_check(Check(run, control=control, seconds=2.0), many_cpus[:8])
    assert results == (
        TileResult(0, TileStatus.TIMEOUT, "it did not end within 2 s"),
        TileResult(1, TileStatus.SIGNAL, "SIGILL"),
        TileResult(2, TileStatus.WRONG, "lost"),
        TileResult(3, TileStatus.SIGNAL, "its control: SIGSEGV"),
        *(TileResult(cpu, TileStatus.OK) for cpu in range(4, 8)),
    )


def test_cpu_without_fork_is_named(many_cpus, monkeypatch):
    numbers = itertools.count()

    def fork():
        if next(numbers) == 1:
            raise BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable")
        return os_fork()

    os_fork = os.fork
    monkeypatch.setattr(os, "fork", fork)
    before = len(list(Path("/proc/self/fd").iterdir()))
    first, second, third = run_check(Check(_do_nothing), many_cpus[:3])
    assert (first.status, third.status) == (TileStatus.OK, TileStatus.OK)
    assert second.status is TileStatus.NOT_RUN
    assert second.detail.startswith("it could not be forked: EAGAIN; raise the limits of processes")
    assert len(list(Path("/proc/self/fd").iterdir())) == before


@pytest.mark.parametrize(
    ("limit", "cpus", "portions"),
    [
        pytest.param(1 << 20, 224, [224], id="all-at-once"),
        pytest.param(1024, 448, [256, 192], id="1024-descriptors"),
        pytest.param(0, 3, [1, 1, 1], id="next-to-none"),
    ],
)
def test_descriptors_bound_how_many_run_at_once(monkeypatch, limit, cpus, portions):
    monkeypatch.setattr(handle, "_raise_descriptor_limit", lambda: limit)
    results = list(run_checks(range(cpus), "fake_tiles:Counting"))
    assert [name for name, _ in results] == [name for name in CHECKS for _ in range(cpus)]
    assert [result.cpu for _, result in results] == list(range(cpus)) * len(CHECKS)
    expected = [f"1 of {portion}" for portion in portions for _ in range(portion)]
    assert [result.detail for _, result in results] == expected * len(CHECKS)


def test_migrating_processes_do_not_meet(monkeypatch):
    """All CPUs migrate at once, and on one CPU they would wait for each other."""
    paths = {}

    class Tiles:
        def hold(self, data):
            pass

        def holds(self, data):
            return True

    monkeypatch.setattr(state_checks, "require_tiles", Tiles)
    monkeypatch.setattr(state_checks, "_ALLOWED", frozenset(range(8)))
    for cpu in range(8):
        paths[cpu] = []
        monkeypatch.setattr(os, "sched_setaffinity", lambda _, to, p=paths[cpu]: p.extend(to))
        monkeypatch.setattr(state_checks, "current_cpu", lambda p=paths[cpu]: p[-1])
        CHECKS["migration"].run(cpu)
    assert all(set(path) == set(range(8)) for path in paths.values())
    assert all(len(set(step)) == 8 for step in zip(*paths.values(), strict=True))


def test_no_check_passes_where_tiles_are_refused():
    results = list(run_checks([CPU, CPU], "fake_tiles:JailedChecks"))
    assert [name for name, _ in results] == [name for name in CHECKS for _ in range(2)]
    passed = {
        name for name, result in results if result.status in (TileStatus.OK, TileStatus.NOT_HERE)
    }
    assert passed <= {"no-use-without-permission", "migration"}


def test_lost_child_is_named():
    with pytest.raises(LostChildError, match=r"(?s)tile checks.*exit code 1.*no ctypes here"):
        list(run_checks([CPU], "fake_tiles:fails"))
