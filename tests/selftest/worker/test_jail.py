"""The jail, live: what it refuses, what it leaves alone, and who inherits it."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

import pytest

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

_JAIL = (sys.executable, "-m", "amx_suite.worker.jail")


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def _python(program: str) -> str:
    """What a fresh Python prints that runs the program."""
    done = _run(sys.executable, "-c", program)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def _answers(*command: str) -> dict[str, str]:
    program = (
        "from amx_suite.tmul.xcomp import QUESTIONS, errno_name\n"
        "for name, ask in QUESTIONS.items():\n"
        "    reply = ask()\n"
        "    print(name, errno_name(reply.errno) if reply.value is None else reply.value)"
    )
    done = _run(*command, sys.executable, "-c", program)
    assert done.returncode == 0, done.stderr
    return dict(line.split(" ") for line in done.stdout.splitlines())


def test_the_request_is_refused_and_the_questions_are_not() -> None:
    free, jailed = _answers(), _answers(*_JAIL)
    assert jailed["request"] == "EPERM"
    if free["request"] == "EPERM":
        pytest.skip("this whole run is jailed already, so there is no free process to compare with")
    assert jailed["supported"] == free["supported"]
    assert jailed["after"] == jailed["before"] == free["before"]


def test_it_is_inherited_over_fork_and_by_threads_already_running() -> None:
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
    assert _python(program) == "EPERM EPERM"


def test_it_is_inherited_over_exec_and_a_jail_within_a_jail_holds() -> None:
    assert _answers(*_JAIL, *_JAIL)["request"] == "EPERM"


def test_no_other_option_of_the_same_call_is_touched() -> None:
    # ARCH_GET_FS (0x1003) is what C libraries live on; its answer is a pointer, never zero here.
    program = """
import ctypes
from amx_suite.worker.jail import refuse_amx
refuse_amx()
base = ctypes.c_uint64(0)
libc = ctypes.CDLL(None, use_errno=True)
print(libc.syscall(158, ctypes.c_long(0x1003), ctypes.byref(base)), base.value != 0)
"""
    assert _python(program) == "0 True"


def test_the_upper_half_of_the_argument_is_no_way_out() -> None:
    # The kernel takes the option as an int, so a filter that compared 64 bits could be passed by.
    program = """
import ctypes, errno
from amx_suite.worker.jail import refuse_amx
refuse_amx()
libc = ctypes.CDLL(None, use_errno=True)
for option in (0x1023, 0x1_0000_1023):
    print(libc.syscall(158, ctypes.c_long(option), ctypes.c_ulong(18)), ctypes.get_errno())
"""
    assert _python(program).split() == ["-1", "1"] * 2


def test_the_process_goes_on_as_usual() -> None:
    program = """
from amx_suite.worker.jail import refuse_amx
refuse_amx()
import json, subprocess, sys, tempfile, threading
with tempfile.TemporaryFile() as file:
    file.write(b"x")
thread = threading.Thread(target=print, args=("thread",))
thread.start(); thread.join()
print(subprocess.run([sys.executable, "-c", "print('child')"], capture_output=True).stdout)
"""
    assert _python(program).split() == ["thread", "b'child\\n'"]


def test_it_needs_nothing_but_the_standard_library() -> None:
    program = """
import sys
before = set(sys.modules)
import amx_suite.worker.jail
mine = {name.partition(".")[0] for name in set(sys.modules) - before}
print(sorted(mine - set(sys.stdlib_module_names)))
"""
    assert _python(program) == "['amx_suite']"


def test_an_arms_child_is_jailed_before_it_imports_anything() -> None:
    """Known-bad: a workload of another package that asks for tiles when it is imported."""
    program = """
import sys
import amx_suite.worker.child
mine = {name for name in sys.modules if name.startswith("amx_suite.")}
print(*sorted(mine))
"""
    assert _python(program).split() == [
        "amx_suite.tmul",
        "amx_suite.tmul.xcomp",
        "amx_suite.worker",
        "amx_suite.worker.child",
        "amx_suite.worker.jail",
    ]


def test_it_refuses_to_pretend_once_the_permission_is_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(jail, "permitted", lambda: xcomp.XcompReply(1 << 18))
    with pytest.raises(jail.JailUnavailableError, match="holds the tile permission already"):
        jail.refuse_amx()


@pytest.mark.parametrize(
    ("reply", "answer"),
    [(xcomp.XcompReply(0), "granted it"), (xcomp.XcompReply(None, 95), "said EOPNOTSUPP")],
)
def test_a_filter_that_does_not_hold_is_an_error(
    monkeypatch: pytest.MonkeyPatch, reply: xcomp.XcompReply, answer: str
) -> None:
    monkeypatch.setattr(jail, "_install", lambda libc: None)
    monkeypatch.setattr(jail, "permitted", lambda: xcomp.XcompReply(0xE7))
    monkeypatch.setattr(jail, "request_tiles", lambda: reply)
    with pytest.raises(jail.JailUnavailableError, match=answer):
        jail.refuse_amx()


def test_a_kernel_that_takes_no_filter_is_an_error() -> None:
    program = """
import ctypes
from amx_suite.worker import jail
jail._FILTER = ((0xFFFF, 0, 0, 0),)  # no such operation
try:
    jail.refuse_amx()
except jail.JailUnavailableError as error:
    print(error)
"""
    assert "does not let this process set a system-call filter: EINVAL" in _python(program)


def test_elsewhere_it_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(OSError, match="x86-64 Linux"):
        jail.refuse_amx()


def test_the_command_keeps_its_arguments_and_exit_code() -> None:
    program = "import sys; print(sys.argv[1:]); sys.exit(7)"
    done = _run(*_JAIL, sys.executable, "-c", program, "a b", "--help")
    assert (done.returncode, done.stdout) == (7, "['a b', '--help']\n")


def test_misuse_and_a_missing_command_are_said() -> None:
    nothing, missing = _run(*_JAIL), _run(*_JAIL, "/no/such/command")
    assert nothing.returncode == 2
    assert nothing.stderr.startswith("usage: python -m amx_suite.worker.jail COMMAND")
    assert missing.returncode == 127
    assert "cannot run /no/such/command" in missing.stderr
