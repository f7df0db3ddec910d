"""One run measures at a time, whoever started it and however it ends."""

from __future__ import annotations

import fcntl
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from amx_suite.errors import MachineLockError, UsageError
from amx_suite.host import lock
from amx_suite.host.lock import MachineLock

pytestmark = pytest.mark.selftest

HOLD = """
import sys
from pathlib import Path
from amx_suite.host.lock import MachineLock
with MachineLock(Path(sys.argv[1])).acquire(False, print):
    print("held", flush=True)
    sys.stdin.read()
"""

#: Here it is the child that says so and reads, and it lives on.
HOLD_WITH_CHILD = """
import subprocess, sys
from pathlib import Path
from amx_suite.host.lock import MachineLock
with MachineLock(Path(sys.argv[1])).acquire(False, print):
    child = "import sys; print('held', flush=True); sys.stdin.read()"
    subprocess.run([sys.executable, "-c", child], close_fds=False)
"""

Holder = subprocess.Popen[str]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "machine.lock"


@pytest.fixture
def hold(path: Path) -> Iterator[Callable[..., Holder]]:
    """Start a process that holds the lock until its standard input is closed."""
    started: list[Holder] = []

    def start(*more: str, script: str = HOLD) -> Holder:
        command = [sys.executable, "-c", script, str(path), *more]
        holder = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        started.append(holder)
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        return holder

    yield start
    for holder in started:
        with holder:
            holder.kill()


def acquire(path: Path, wait: bool = False, say: Callable[[str], None] = pytest.fail) -> None:
    MachineLock(path).acquire(wait, say).release()


def test_held_elsewhere_is_refused_by_name(path: Path, hold: Callable[..., Holder]) -> None:
    holder = hold("and more")
    with pytest.raises(MachineLockError) as caught:
        acquire(path)
    message = str(caught.value)
    assert f"taken by process {holder.pid} (`{sys.executable} -c " in message
    assert ", started 20" in message
    assert "wait for it to end, or pass --wait (pytest: --amx-wait)" in message
    assert isinstance(caught.value, UsageError)


def test_waits_and_goes_on(path: Path, hold: Callable[..., Holder]) -> None:
    holder, said = hold(), []

    def say(text: str) -> None:
        said.append(text)
        assert holder.stdin is not None
        holder.stdin.close()

    acquire(path, wait=True, say=say)
    assert len(said) == 1
    assert f"taken by process {holder.pid} " in said[0]
    assert "waiting for it to end" in said[0]


def test_ctrl_c_ends_the_wait(path: Path, hold: Callable[..., Holder]) -> None:
    hold()

    def ring(_: str) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.2)

    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            acquire(path, wait=True, say=ring)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_killed_holder_frees_it(path: Path, hold: Callable[..., Holder]) -> None:
    holder = hold()
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    acquire(path)


def test_release_frees_it(path: Path) -> None:
    held = MachineLock(path).acquire(False, pytest.fail)
    assert held.acquire(True, pytest.fail) is held
    held.release()
    held.release()
    acquire(path)


def test_own_second_lock_never_waits(path: Path) -> None:
    held = MachineLock(path).acquire(False, pytest.fail)
    with pytest.raises(MachineLockError, match=f"process {os.getpid()} "):
        acquire(path, wait=True)
    held.release()


def test_children_do_not_hold_it(path: Path, hold: Callable[..., Holder]) -> None:
    holder = hold(script=HOLD_WITH_CHILD)
    holder.kill()
    holder.wait()
    acquire(path)


def test_another_users_file_serves(path: Path) -> None:
    path.touch()
    path.chmod(0o444)
    held = MachineLock(path).acquire(False, pytest.fail)
    with pytest.raises(MachineLockError, match="taken by process"):
        acquire(path)
    held.release()


def test_no_o_creat_on_an_existing_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Linux refuses it in /tmp where the file is another user's."""
    path.touch()
    really = os.open

    def protected(file: Path, flags: int, mode: int = 0o777) -> int:
        if flags & (os.O_CREAT | os.O_WRONLY | os.O_RDWR):
            raise PermissionError(13, "Permission denied")
        return really(file, flags, mode)

    monkeypatch.setattr(os, "open", protected)
    acquire(path)


def test_every_user_may_read_a_new_file(path: Path) -> None:
    before = os.umask(0o077)
    try:
        acquire(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert path.read_bytes() == b""


def test_created_at_the_same_moment(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    really = os.open

    def late(file: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT:
            monkeypatch.undo()
            path.touch()
        return really(file, flags, mode)

    monkeypatch.setattr(os, "open", late)
    acquire(path)


def test_a_file_removed_meanwhile_is_made_anew(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.touch()
    really = fcntl.flock

    def after_removal(descriptor: int, operation: int) -> None:
        monkeypatch.undo()
        path.unlink()
        really(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", after_removal)
    held = MachineLock(path).acquire(False, pytest.fail)
    with pytest.raises(MachineLockError, match="taken by process"):
        acquire(path)
    held.release()


@pytest.mark.parametrize(
    ("put", "why"),
    [
        (lambda path: path.symlink_to(path.with_name("target")), "it is a symbolic link"),
        (Path.mkdir, "it is no ordinary file"),
        (os.mkfifo, "it is no ordinary file"),
    ],
    ids=["symlink", "folder", "pipe"],
)
def test_what_is_no_file_is_refused(path: Path, put: Callable[[Path], None], why: str) -> None:
    put(path)
    with pytest.raises(MachineLockError) as caught:
        acquire(path, wait=True)
    message = str(caught.value)
    assert f"{path}, the lock of this machine, cannot be used: {why}" in message
    assert "remove what is there" in message
    assert not path.with_name("target").exists()


def test_no_folder_to_create_it_in(tmp_path: Path) -> None:
    with pytest.raises(MachineLockError, match="No such file or directory"):
        acquire(tmp_path / "absent" / "machine.lock")


def test_a_hidden_holder_is_another_process(
    path: Path, hold: Callable[..., Holder], monkeypatch: pytest.MonkeyPatch
) -> None:
    hold()
    monkeypatch.setattr(lock, "_holder", lambda _: None)
    with pytest.raises(MachineLockError, match="taken by another process;"):
        acquire(path)


def test_a_command_line_cannot_steer_the_terminal(path: Path, hold: Callable[..., Holder]) -> None:
    hold("\x1b[2J")
    with pytest.raises(MachineLockError) as caught:
        acquire(path)
    assert "\x1b" not in str(caught.value)
