"""A child that dies, hangs or talks too much is one typed error that says which, where and how."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from fake_handlers import HERE, Do, Told
from processes import gone

from amx_suite.child import handle, limits
from amx_suite.errors import LostChildError

pytestmark = pytest.mark.selftest

CPU = min(os.sched_getaffinity(0))


def lost(child, request, **more):
    with pytest.raises(LostChildError) as caught:
        child.ask(request, Told, **more)
    return caught.value


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGSYS], ids=str)
def test_a_signal_is_named(start, number):
    error = lost(start(cpus=(CPU,), label="gemm"), Do("signal", number))
    assert (error.signal, error.exit_code, error.out_of_memory) == (number, None, False)
    assert str(error).startswith(f"child process gemm (CPU {CPU}): it was killed by {number.name}")


def test_a_crash_leaves_its_traceback(start):
    assert "_signal" in lost(start(), Do("signal", signal.SIGSEGV)).stderr_tail


def test_an_exit_code_is_named(start):
    error = lost(start(), Do("exit", 3))
    assert (error.exit_code, error.signal) == (3, None)
    assert error.stderr_tail == "last words"
    assert "exit code 3" in str(error)


def test_a_lost_child_says_so_again(start):
    child = start()
    assert lost(child, Do("exit", 3)) is lost(child, Do("echo"))


def test_an_ended_child_says_so(start):
    child = start()
    child.close()
    assert "ended by the suite" in str(lost(child, Do("echo")))


def test_silence_is_named_and_ended(start):
    child = start()
    error = lost(child, Do("sleep", 60), seconds=0.3)
    assert error.silent
    assert "did not answer Do within 0.3 s; it has been killed" in str(error)
    assert gone(child.pid)


def test_a_stopped_child_is_named(start):
    child = start()
    error = lost(child, Do("signal", signal.SIGSTOP), seconds=0.3)
    assert "it was stopped: SIGSTOP" in str(error)
    assert gone(child.pid)


def test_a_request_that_is_never_read(start, monkeypatch):
    """Larger than the socket holds, so that sending it waits for the child."""
    child = start(f"{HERE}:Deaf")
    monkeypatch.setattr(Do, "seconds_to_send", 0.3)
    error = lost(child, Do("echo"), arrays={"a": np.zeros(2**24)})
    assert error.silent
    assert "did not take Do within 0.3 s" in str(error)
    assert gone(child.pid)


@pytest.mark.parametrize(
    ("handler", "said"),
    [
        ("dies_at_start", r"(?s)ended before it was ready with exit code 1.*no such thing"),
        ("killed_at_start", r"(?s)killed by SIGSEGV.*killed_at_start"),
        ("absent", "(?s)exit code 1.*has no attribute 'absent'"),
    ],
)
def test_a_child_that_does_not_start(start, handler, said):
    with pytest.raises(LostChildError, match=said):
        start(f"{HERE}:{handler}")


def test_a_child_that_hangs_at_start(start):
    with pytest.raises(LostChildError, match=r"did not start within 0\.5 s.*killed") as caught:
        start(f"{HERE}:hangs_at_start", start_seconds=0.5)
    assert caught.value.silent


def test_a_missing_interpreter(start, monkeypatch):
    monkeypatch.setattr(handle.sys, "executable", "/no/such/python")
    with pytest.raises(LostChildError, match=r"could not be started.*/no/such/python"):
        start()


def test_a_folder_that_cannot_be_made(start, tmp_path):
    with pytest.raises(LostChildError, match=r"(?s)exit code 1.*FileNotFoundError"):
        start(folder=tmp_path / "absent" / "folder")


def test_a_log_of_a_hundred_megabytes(start):
    child = start()
    child.ask(Do("speak", 100), Told)
    error = lost(child, Do("exit", 3))
    assert error.stderr_tail.endswith("the end\nlast words")
    assert len(error.stderr_tail) <= 4000


BAR = "\r  0%|          | 0/2 [00:00<?, ?B/s]\r 50%|#####     | 1/2 [00:01<00:01, 1.0B/s]"


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        (f"before\n{BAR}\nafter\n", "before\nafter\n"),
        (f"{BAR}Fatal Python error\n", "Fatal Python error\n"),
        ("weights: 10\rweights: 20\r\n", "weights: 20\n"),
        ("a file [00:12] of 3\n\nend", "a file [00:12] of 3\n\nend"),
    ],
)
def test_progress_bars_leave_the_tail(written, shown):
    assert handle.without_progress_bars(written) == shown


def test_an_error_behind_progress_bars_shows(start):
    child = start()
    child.ask(Do("bars", 3000), Told)
    assert lost(child, Do("exit", 3)).stderr_tail == "last words"


def test_libraries_of_children_are_quiet(start, monkeypatch):
    monkeypatch.setenv("HF_HUB_VERBOSITY", "info")
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    monkeypatch.delenv("TRANSFORMERS_VERBOSITY", raising=False)
    child = start()
    variables = child.ask(Do("environment"), Told).text.splitlines()
    assert {"TQDM_DISABLE=1", "TRANSFORMERS_VERBOSITY=error"} <= set(variables)
    assert "HF_HUB_VERBOSITY=info" in variables, "the user's own value wins"
    child.ask(Do("retry"), Told)
    assert lost(child, Do("exit", 3)).stderr_tail == "last words"


def test_a_memory_kill_is_recognized(start, monkeypatch):
    counts = iter([4, 5])
    monkeypatch.setattr(handle, "oom_kills", lambda: next(counts))
    error = lost(start(), Do("signal", signal.SIGKILL))
    assert error.out_of_memory
    assert "ran out of memory; use a smaller shape" in str(error)


_IN_A_GROUP = """
import sys
from pathlib import Path
from fake_handlers import OBEDIENT, Do, Told
from amx_suite.child.handle import Child
from amx_suite.errors import LostChildError

Path(sys.argv[1]).write_text("0")
try:
    Child(OBEDIENT, label="greedy").ask(Do("gulp", 4000), Told)
except LostChildError as error:
    print(error.out_of_memory)
"""


@pytest.fixture
def group_of_600_megabytes():
    """A control group of this process's own (cgroup version 1 or 2), where it may make one."""
    paths = {
        controllers: path.lstrip("/")
        for line in Path("/proc/self/cgroup").read_text().splitlines()
        for _, controllers, path in [line.split(":", 2)]
    }
    if "memory" in paths:
        parent, limit = Path("/sys/fs/cgroup/memory", paths["memory"]), "memory.limit_in_bytes"
    else:
        parent, limit = Path("/sys/fs/cgroup", paths.get("", "")), "memory.max"
    group = parent / f"amx-suite-test-{os.getpid()}"
    try:
        group.mkdir()
        (group / limit).write_text(str(600 << 20))
    except OSError as error:
        pytest.skip(f"this process may not make a control group with a memory limit: {error}")
    yield group
    for _ in range(50):
        with contextlib.suppress(OSError):
            group.rmdir()
            return
        time.sleep(0.1)


def test_the_kernel_really_kills_for_memory(group_of_600_megabytes):
    procs = group_of_600_megabytes / "cgroup.procs"
    command = [sys.executable, "-c", _IN_A_GROUP, procs]
    path = os.pathsep.join(sys.path)
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, check=False
    )
    assert done.stdout == "True\n", done.stderr


def test_kills_are_counted_by_the_control_group(tmp_path):
    def write(path, text):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    assert limits.oom_kills(tmp_path) == 0
    write("proc/vmstat", "pgfault 7\noom_kill 9\n")
    assert limits.oom_kills(tmp_path) == 9
    write("proc/self/cgroup", "4:memory:/a/b\n0::/a/b\n")
    write("sys/fs/cgroup/memory/a/b/memory.oom_control", "oom_kill_disable 0\noom_kill 2\n")
    assert limits.oom_kills(tmp_path) == 2
    write("proc/self/cgroup", "0::/a/b\n")
    write("sys/fs/cgroup/a/b/memory.events", "low 0\noom 5\noom_kill 3\noom_group_kill 0\n")
    assert limits.oom_kills(tmp_path) == 3
