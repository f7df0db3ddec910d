"""A child ends with its parent, however that ends, and leaves no process and no file behind."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest
from fake_handlers import Do, Told
from processes import Forked, descendants, gone

from amx_suite.child.channel import Channel
from amx_suite.child.main import exit_code_of, fork
from amx_suite.errors import LostChildError, MachineChangedError

pytestmark = pytest.mark.selftest

#: A parent with a child that has a grandchild and a temporary file.
_PARENT = textwrap.dedent(
    """
    import signal, sys
    from fake_handlers import OBEDIENT, Do, Told
    from amx_suite.child.handle import Child

    # A shell's background job has it ignored, which is inherited.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with Child(OBEDIENT, label="arm") as child:
        folder = child.ask(Do("folder"), Told).text
        grandchild = int(child.ask(Do("grandchild"), Told).numbers[0])
        print(child.pid, grandchild, folder, flush=True)
        child.ask(Do(sys.argv[1], int(sys.argv[2])), Told, seconds=60)
    """
)


BUSY, STOPPED = ("sleep", 60), ("signal", signal.SIGSTOP.value)


@pytest.mark.parametrize(
    ("ending", "doing"),
    [
        *((name, BUSY) for name in ("SIGKILL", "SIGTERM", "SIGINT")),
        ("SIGKILL", STOPPED),
    ],
)
def test_nothing_outlives_the_parent(tmp_path, ending, doing):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(tmp_path)}
    parent = subprocess.Popen(
        [sys.executable, "-c", _PARENT, *map(str, doing)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    worker, grandchild, folder = parent.stdout.readline().split()
    ours = descendants(parent.pid)
    assert {int(worker), int(grandchild)} < set(ours)
    assert Path(folder).is_dir()
    parent.send_signal(signal.Signals[ending])
    parent.communicate(timeout=10)
    assert all(gone(pid) for pid in ours)
    assert not list(tmp_path.iterdir())


def test_children_of_ended_threads_live_on(start):
    """PR_SET_PDEATHSIG would kill them: it fires when the thread ends that started a child."""
    children = []
    thread = threading.Thread(target=lambda: children.append(start()))
    thread.start()
    thread.join()
    for _ in range(3):
        assert children[0].ask(Do("echo"), Told) == Told()


def test_close_leaves_nothing(start):
    child = start()
    folder = Path(child.ask(Do("folder"), Told).text)
    grandchild = int(child.ask(Do("grandchild"), Told).numbers[0])
    assert {child.pid, grandchild} <= set(descendants(os.getpid()))
    # A terminal's Ctrl-C reaches the parent only.
    assert os.getsid(child.pid) != os.getsid(0)
    child.close()
    assert gone(child.pid)
    assert gone(grandchild)
    assert not folder.exists()


def test_close_ends_a_waiting_thread(start, monkeypatch):
    """Known-bad: a socket that is only closed stays open while a thread waits on it."""
    child, ended, kills = start(), [], []

    def wait():
        with pytest.raises(LostChildError) as caught:
            child.ask(Do("sleep", 60), Told)
        ended.append(caught.value)

    thread = threading.Thread(target=wait)
    thread.start()
    time.sleep(0.5)  # most likely it waits for the reply by then
    monkeypatch.setattr(child._process, "kill", lambda: kills.append(child._process.pid))
    child.close()
    thread.join()
    assert ended
    assert not kills, "the keeper ended by itself"


def test_grandchildren_die_with_the_worker(start):
    child = start()
    grandchild = int(child.ask(Do("grandchild"), Told).numbers[0])
    with pytest.raises(LostChildError, match="SIGKILL"):
        child.ask(Do("signal", signal.SIGKILL), Told)
    assert gone(grandchild)


def test_daemons_die_with_the_child(start):
    """Known-bad: a process that has left the worker's group and session once lived on."""
    child = start()
    daemon = int(child.ask(Do("daemon"), Told).numbers[0])
    assert not gone(daemon, 0.1)
    child.close()
    assert gone(daemon, 0.1), "close has waited for it"


def test_another_set_of_cpus_is_named(start):
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        pytest.skip("this process may use one CPU only")
    child = start(cpus=cpus[:2])
    child.ask(Do("echo"), Told)
    os.sched_setaffinity(child.pid, cpus[:1])
    for command in ("echo", "error"):
        with pytest.raises(MachineChangedError, match=f"bound to CPUs .* use {cpus[0]}: a cpuset"):
            child.ask(Do(command), Told)
    os.sched_setaffinity(child.pid, cpus[:2])
    assert child.ask(Do("echo"), Told) == Told(), "the child lives on"


def test_a_stopped_parent_takes_the_answer():
    """Known-bad: it took the time for which it was stopped for the child's."""
    ours, theirs = (Channel(each) for each in socket.socketpair())
    theirs.send(Told("in time"))
    assert ours.receive(Told, -1.0)[0].text == "in time"
    with pytest.raises(TimeoutError):
        ours.receive(Told, -1.0)


def test_the_worker_dies_with_the_keeper(start):
    child = start()
    keeper = int(child.ask(Do("about"), Told).numbers[4])
    os.kill(keeper, signal.SIGKILL)
    assert gone(child.pid)
    with pytest.raises(LostChildError, match="SIGKILL"):
        child.ask(Do("echo"), Told)


@pytest.mark.parametrize("output", ["/dev/full", None])
def test_fork_ends_with_broken_output(tmp_path, output):
    """It never returns into its parent's code."""

    def work():
        sys.stdout = None if output is None else open(output, "w")  # noqa: SIM115, PTH123
        print("to be flushed")
        inner = fork(lambda: 5)
        sys.stdout = sys.stderr
        return exit_code_of(inner)

    assert Forked(work, tmp_path, {}).wait().returncode == 5
