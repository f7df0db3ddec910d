"""The jail, live: what it refuses, what it leaves alone, and who inherits it."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

from amx_suite.core.evidence import Jail
from amx_suite.errors import JailUnavailableError
from amx_suite.tmul import xcomp
from amx_suite.worker import jail

pytestmark = [
    pytest.mark.selftest,
    pytest.mark.skipif(
        platform.machine() != "x86_64"
        or not Path("/proc/sys/kernel/seccomp/actions_avail").exists(),
        reason="the jail needs an x86-64 Linux kernel with seccomp filters",
    ),
]

_IN_JAIL = (sys.executable, "-m", "amx_suite.worker.jail")
_PERMISSION = """
from amx_suite.tmul.xcomp import errno_name, permitted, request_tiles, supported
print(permitted(), supported(), sep="\\n")
print(errno_name(request_tiles().errno))
print(permitted())
"""


def _run(*command: str) -> str:
    """What the command prints."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _python(program: str, *before: str) -> list[str]:
    return _run(*before, sys.executable, "-c", program).splitlines()


def test_only_the_request_is_refused() -> None:
    # One jail in the other, and exec does not lift them.
    free, jailed = _python(_PERMISSION), _python(_PERMISSION, *_IN_JAIL, *_IN_JAIL)
    assert jailed[2] == "EPERM"
    if free[2] == "EPERM":
        pytest.skip("this whole run is jailed already, so there is no free process to compare with")
    assert jailed[:2] == free[:2]
    assert jailed[3] == jailed[0], "the permission is as it was"


def test_forks_and_running_threads_are_jailed() -> None:
    program = """
import os, threading
from amx_suite.tmul.xcomp import errno_name, request_tiles
from amx_suite.worker.jail import refuse_amx
go, said = threading.Event(), []
def ask():
    go.wait()
    said.append(errno_name(request_tiles().errno))
thread = threading.Thread(target=ask)
thread.start()
refuse_amx()
go.set()
thread.join()
child = os.fork()
if child == 0:
    os._exit(request_tiles().errno)
print(said[0], errno_name(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])))
"""
    assert _python(program) == ["EPERM EPERM"]


def test_options_are_compared_as_ints() -> None:
    # ARCH_GET_FS (0x1003) is what C libraries live on; its answer is a pointer, never zero here.
    # The kernel takes the option as an int, so a filter that compares 64 bits could be passed by.
    program = """
import ctypes
from amx_suite.worker.jail import refuse_amx
refuse_amx()
base = ctypes.c_uint64(0)
libc = ctypes.CDLL(None, use_errno=True)
print(libc.syscall(158, ctypes.c_long(0x1003), ctypes.byref(base)), base.value != 0)
for option in (0x1023, 0x1_0000_1023):
    print(libc.syscall(158, ctypes.c_long(option), ctypes.c_ulong(18)), ctypes.get_errno())
"""
    assert _python(program) == ["0 True", "-1 1", "-1 1"]


def test_no_library_comes_before_the_jail() -> None:
    """Known-bad: a library that asks for tiles when it is imported keeps them."""
    program = """
import sys
import amx_suite.worker.handler
heavy = {"torch", "numpy", "intel_extension_for_pytorch", "transformers", "torchvision"}
print(sorted(heavy & set(sys.modules)))
"""
    assert _python(program) == ["[]"]


def test_a_held_permission_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jail, "permitted", lambda: xcomp.XcompReply(1 << 18))
    with pytest.raises(JailUnavailableError, match="holds the tile permission already"):
        jail.refuse_amx()


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (xcomp.XcompReply(0), "granted a request"),
        (xcomp.XcompReply(None, 95), "answered EOPNOTSUPP to a request"),
    ],
)
def test_a_filter_without_effect_is_an_error(
    monkeypatch: pytest.MonkeyPatch, reply: xcomp.XcompReply, answer: str
) -> None:
    monkeypatch.setattr(jail, "_install", lambda libc: None)
    monkeypatch.setattr(jail, "permitted", lambda: xcomp.XcompReply(0xE7))
    monkeypatch.setattr(jail, "request_tiles", lambda: reply)
    with pytest.raises(JailUnavailableError, match=answer):
        jail.refuse_amx()


def test_a_refused_filter_is_told() -> None:
    program = """
from amx_suite.errors import JailUnavailableError
from amx_suite.worker import jail
jail._FILTER = ((0xFFFF, 0, 0, 0),)  # no such operation
try:
    jail.refuse_amx()
except JailUnavailableError as error:
    print(error)
"""
    (told,) = _python(program)
    assert "does not let this process set a system-call filter: EINVAL" in told


def test_an_arm_runs_without_a_jail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert jail.enter_jail() is Jail.UNAVAILABLE
    assert "the AMX jail could not be set: only a 64-bit process" in capsys.readouterr().err
