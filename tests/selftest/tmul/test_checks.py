"""State and fault checks: how each end is judged, on checks that are made up.

A kernel that refuses tiles is known-bad input for the real ones.
"""

from __future__ import annotations

import os
import platform
import signal
import time

import pytest

from amx_suite.errors import LostChildError
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
    assert run_check(check, CPU) == TileResult(CPU, TileStatus(status), detail)


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
