"""State and fault checks: how each end is judged, on checks that are made up.

A kernel that refuses tiles is known-bad input for the real ones.
"""

from __future__ import annotations

import os
import platform
import signal
import time

import pytest

from amx_suite.errors import LostChildError, NotApplicableError
from amx_suite.tmul.checks import CHECKS, Outcome, run_check, run_checks
from amx_suite.tmul.state_checks import Check

pytestmark = [
    pytest.mark.selftest,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="runs x86-64 code"),
]

CPU = min(os.sched_getaffinity(0))


def _do_nothing(cpu):
    pass


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


def judged(run, ends_by=None, control=None, seconds=20.0):
    result = run_check("made up", CPU, Check(run, ends_by, control), seconds)
    assert (result.check, result.cpu) == ("made up", CPU)
    return result.outcome, result.detail


def test_ends_that_are_ok():
    assert judged(_do_nothing) == (Outcome.OK, "")
    assert judged(_die(signal.SIGILL), signal.SIGILL, _do_nothing) == (Outcome.OK, "")


def test_fork_is_pinned_to_the_cpu():
    def run(cpu):
        if os.sched_getaffinity(0) != {cpu}:
            raise AssertionError("elsewhere")

    assert judged(run) == (Outcome.OK, "")


@pytest.mark.parametrize(
    ("run", "ends_by", "control", "said"),
    [
        pytest.param(_do_nothing, signal.SIGILL, None, "returned where SIGILL", id="no-fault"),
        pytest.param(_die(signal.SIGSEGV), signal.SIGILL, None, "SIGSEGV", id="other-signal"),
        pytest.param(_die(signal.SIGILL), None, None, "killed by SIGILL", id="not-due"),
        pytest.param(_raise(AssertionError("lost")), None, None, "lost", id="broken"),
        pytest.param(
            _raise(AssertionError("lost")), signal.SIGILL, None, "lost", id="broken-not-killed"
        ),
        pytest.param(_raise(ValueError("bug")), None, None, "ValueError: bug", id="bug"),
        pytest.param(lambda cpu: os._exit(3), None, None, "exit code 3", id="exit"),
        pytest.param(
            _die(signal.SIGILL), signal.SIGILL, _die(signal.SIGILL), "its control", id="any-way"
        ),
    ],
)
def test_every_other_end_is_broken(run, ends_by, control, said):
    outcome, detail = judged(run, ends_by, control)
    assert outcome is Outcome.BROKEN
    assert said in detail


def test_check_that_hangs_is_killed():
    found = judged(lambda cpu: time.sleep(60), seconds=0.2)
    assert found == (Outcome.BROKEN, "it did not end within 0.2 s")


def test_check_may_not_apply():
    assert judged(_raise(NotApplicableError("one CPU only"))) == (Outcome.NOT_HERE, "one CPU only")


def test_no_check_passes_where_tiles_are_refused():
    results = list(run_checks([CPU, CPU], "fake_tiles:JailedChecks"))
    assert [result.check for result in results] == [name for name in CHECKS for _ in range(2)]
    passed = {result.check for result in results if result.outcome is not Outcome.BROKEN}
    assert passed <= {"no-use-without-permission", "migration"}


def test_lost_child_is_named():
    with pytest.raises(LostChildError, match=r"(?s)tile checks.*exit code 1.*no ctypes here"):
        list(run_checks([CPU], "fake_tiles:fails"))
