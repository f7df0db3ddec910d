"""A child that dies, hangs or talks too much is one typed error that says which, where and how."""

import signal

import numpy as np
import pytest
from fake_handlers import HERE, Do, Told
from processes import gone

from amx_suite.child import handle
from amx_suite.errors import LimitReachedError, LostChildError

pytestmark = pytest.mark.selftest


def lost(child, request, **more):
    with pytest.raises(LostChildError) as caught:
        child.exchange(request, Told, **more)
    return caught.value


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGSYS], ids=str)
def test_a_signal_is_named(start, number):
    error = lost(start(label="gemm"), Do("signal", number))
    assert error.signal == number
    assert str(error).startswith(f"child process gemm: it was killed by {number.name}")
    # faulthandler's traceback names the handler's line.
    assert ("_signal" in error.stderr_tail) == (number is signal.SIGSEGV)


def test_an_exit_is_told_each_time(start):
    child = start()
    child.ask(Do("speak", 100), Told)
    error = lost(child, Do("exit", 3))
    assert "ended by itself with exit code 3" in str(error)
    assert error.signal is None
    assert error.stderr_tail.endswith("the end of 100 MB\nlast words")
    assert len(error.stderr_tail) <= 4000
    assert lost(child, Do("echo")) is error


@pytest.mark.parametrize("request_", [Do("sleep", 60), Do("signal", signal.SIGSTOP)])
def test_a_silent_child_is_killed(start, request_):
    child = start()
    error = lost(child, request_, seconds=0.3)
    assert error.silent
    assert "did not answer Do within 0.3 s; it has been killed" in str(error)
    assert gone(child.pid)


def test_a_request_that_is_never_read(start, monkeypatch):
    """Larger than the socket holds, so that sending it waits for the child."""
    child = start(f"{HERE}:Deaf")
    monkeypatch.setattr(handle, "SEND_SECONDS", 0.3)
    error = lost(child, Do("echo"), arrays={"a": np.zeros(2**24)})
    assert error.silent
    assert "did not take Do within 0.3 s" in str(error)
    assert gone(child.pid)


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        ("dies_at_start", r"(?s)ended by itself with exit code 1.*no such thing"),
        ("killed_at_start", r"(?s)killed by SIGSEGV.*killed_at_start"),
        ("absent", "(?s)exit code 1.*has no attribute 'absent'"),
    ],
)
def test_a_child_that_does_not_start(start, handler, said):
    with pytest.raises(LostChildError, match=said):
        start(f"{HERE}:{handler}")


def test_a_child_that_hangs_at_start(start, monkeypatch):
    monkeypatch.setattr(handle, "START_SECONDS", 0.5)
    with pytest.raises(LostChildError, match=r"did not start within 0\.5 s.*killed") as caught:
        start(f"{HERE}:hangs_at_start")
    assert caught.value.silent


def test_a_missing_interpreter(start, monkeypatch):
    monkeypatch.setattr(handle.sys, "executable", "/no/such/python")
    with pytest.raises(LostChildError, match=r"could not be started.*/no/such/python"):
        start()


def test_a_memory_kill_is_recognized(start, monkeypatch):
    counts = iter([4, 5])
    monkeypatch.setattr(handle, "oom_kills", lambda: next(counts))
    error = lost(start(), Do("signal", signal.SIGKILL))
    assert isinstance(error, LimitReachedError)
    assert "ran out of memory; use a smaller shape" in str(error)
