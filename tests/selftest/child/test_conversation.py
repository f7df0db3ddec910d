"""What crosses the socket unchanged, what is refused, and what a child is told of its place."""

import os
import socket
from typing import ClassVar

import msgspec
import numpy as np
import pytest
from fake_handlers import Do, Told

from amx_suite.child.channel import LENGTH, Channel, Reply
from amx_suite.core.quiet import Reading
from amx_suite.errors import (
    ChildFailedError,
    EngineUnavailableError,
    LostChildError,
    NotApplicableError,
    OutOfMemoryError,
    OutputError,
    UsageError,
)
from amx_suite.worker.process import SliceTaken

pytestmark = pytest.mark.selftest


ARRAYS = {
    "2d": np.arange(6, dtype=np.float64).reshape(2, 3),
    "transposed": np.arange(6, dtype=np.int8).reshape(2, 3).T,
    "0d": np.array(3.5, dtype=np.float32),
    "empty": np.empty((0, 4), dtype=np.float32),
    "megabyte of NaN": np.full((300, 1000), np.nan, dtype=np.float32),
}


def test_arrays_cross_unchanged(child):
    _, back = child.exchange(Do("echo"), Told, ARRAYS)
    assert list(back) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(back[name], array)
        assert (back[name].dtype, back[name].shape) == (array.dtype, array.shape)


@pytest.mark.parametrize("array", [np.array([object()]), np.array(["text"]), np.zeros(1, "f4,i4")])
def test_only_numbers_are_sent(child, array):
    with pytest.raises(TypeError, match=r"array 'a'.*no number"):
        child.exchange(Do("echo"), Told, {"a": array})
    assert child.ask(Do("echo"), Told) == Told(), "nothing of it was sent"


@pytest.mark.parametrize(
    ("command", "why"),
    [
        ("object_array", "array 'a' is of type object, which is no number"),
        ("odd_array", r"array 'a' of shape \(0, 0, .*, 4294967295\) is announced"),
        ("garbage", "cannot be read"),
        ("deep", "cannot be read: maximum recursion depth"),
    ],
)
def test_unsafe_frames_are_refused(start, command, why):
    with pytest.raises(LostChildError, match=why):
        start().ask(Do(command), Told)


class Other(Reply, frozen=True, tag=True):
    """A reply that nobody sends."""

    unknown: ClassVar[str] = ""


def test_another_reply_is_refused(start):
    with pytest.raises(LostChildError, match=r"cannot be read.*Told"):
        start().ask(Do("echo"), Other)


@pytest.mark.parametrize("wrong", [0.0, -1.0, 5e-324, float("nan"), float("inf"), 1e300])
@pytest.mark.parametrize(
    ("kind", "good", "field"),
    [
        (SliceTaken, {"type": "SliceTaken", "seconds": 0.5, "iterations": 1}, "seconds"),
        (Reading, {"rates": {"tile": 1e12}}, "rates"),
    ],
    ids=["slice", "reading"],
)
def test_impossible_numbers_are_refused(kind, good, field, wrong):
    bad = {**good, field: {"tile": wrong} if field == "rates" else wrong}
    msgspec.msgpack.decode(msgspec.msgpack.encode(good), type=kind)
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode(bad), type=kind)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("memory", OutOfMemoryError),
        ("torch memory", OutOfMemoryError),
        ("not applicable", NotApplicableError),
        ("unavailable", EngineUnavailableError),
        ("usage", UsageError),
        ("full disk", OutputError),
        ("compiler", OutputError),
    ],
)
def test_reported_failures_have_their_type(child, kind, error):
    with pytest.raises(error):
        child.ask(Do(kind), Told)
    assert child.ask(Do("echo"), Told) == Told(), "the child lives on"


def test_full_disk_is_one_line_with_its_file(child):
    for kind, told in {
        "full disk": "[Errno 28] No space left on device: '/full/model.so'; free space there, or ",
        "compiler": "/full/a.cpp: Disk quota exceeded; free space there, or set TMPDIR",
    }.items():
        with pytest.raises(OutputError) as caught:
            child.ask(Do(kind), Told)
        assert str(caught.value).startswith(told)
        assert "\n" not in str(caught.value)


def test_an_exception_carries_its_traceback(child):
    with pytest.raises(ChildFailedError, match="RuntimeError: broken as told") as caught:
        child.ask(Do("error"), Told)
    assert "in handle" in caught.value.stderr_tail


def test_child_is_bound_and_alone_in_its_group(start):
    cpu = max(os.sched_getaffinity(0))
    child = start(cpus=(cpu,))
    pid, group, cpus, stdin_is_null, _ = child.ask(Do("about"), Told).numbers
    assert pid == child.pid
    assert group == pid, "the worker has a process group of its own"
    assert (cpus, stdin_is_null) == (1, 1)


def test_a_waiting_parent_is_idle(child):
    """No thread of it is scheduled even once: it is blocked on the socket, and polls nothing."""
    pid = {"pid": np.array(os.getpid())}
    assert child.exchange(Do("watch"), Told, pid)[0].numbers == (0,)


def test_frames_of_absurd_size_are_refused():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(LENGTH.pack(2**31))
        with pytest.raises(msgspec.DecodeError, match="2147483648 bytes is announced"):
            Channel(ours).receive(Told, 5.0)
