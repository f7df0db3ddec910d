"""One run measures at a time, whoever started it and however it ends."""

from __future__ import annotations

import errno
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from amx_suite.errors import UsageError
from amx_suite.host.lock import MachineLock

pytestmark = pytest.mark.selftest

#: Holds the lock and starts a program that reads standard input to its end, and lives on.
HOLD = """
import subprocess, sys
from pathlib import Path
from amx_suite.host.lock import MachineLock
with MachineLock(Path(sys.argv[1])).acquire(False, print):
    subprocess.run("echo held; exec cat", shell=True, close_fds=False)
"""

Holder = subprocess.Popen[str]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "machine.lock"


@pytest.fixture
def holder(path: Path) -> Iterator[Holder]:
    """A process that holds the lock until its standard input is closed."""
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        process.kill()


def acquire(path: Path, wait: bool = False, say: Callable[[str], None] = pytest.fail) -> None:
    MachineLock(path).acquire(wait, say).release()


def test_a_second_run_is_refused(path: Path, holder: Holder) -> None:
    with pytest.raises(UsageError) as caught:
        acquire(path)
    message = str(caught.value)
    assert f"taken by process {holder.pid} since 20" in message
    assert f"(`{sys.executable} -c " in message
    assert "wait for it to end, or pass --wait (pytest: --amx-wait)" in message


def test_a_second_run_waits(path: Path, holder: Holder) -> None:
    said = []

    def say(text: str) -> None:
        said.append(text)
        assert holder.stdin is not None
        holder.stdin.close()

    acquire(path, wait=True, say=say)
    assert len(said) == 1
    assert f"taken by process {holder.pid} " in said[0]
    assert "waiting for it to end" in said[0]


@pytest.mark.usefixtures("holder")
def test_ctrl_c_ends_the_wait(path: Path) -> None:
    def ring(_: str) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.1)

    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            acquire(path, wait=True, say=ring)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_a_killed_holder_frees_it(path: Path, holder: Holder) -> None:
    """Its child lives on and does not hold it."""
    holder.kill()
    holder.wait()
    acquire(path)


def test_release_frees_it(path: Path) -> None:
    held = MachineLock(path).acquire(False, pytest.fail)
    assert held.acquire(True, pytest.fail) is held
    with pytest.raises(UsageError, match="taken by process"):
        acquire(path)
    held.release()
    held.release()
    acquire(path)


def test_no_o_creat_on_an_existing_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Linux refuses it in /tmp where the file is another user's."""
    path.touch()
    really = os.open

    def protected(file: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_CREAT:
            raise PermissionError(13, "Permission denied")
        return really(file, flags, mode)

    monkeypatch.setattr(os, "open", protected)
    acquire(path)


def test_every_user_may_use_the_file(path: Path) -> None:
    before = os.umask(0o077)
    try:
        acquire(path)
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666


def test_a_read_only_folder_is_locked_itself(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As /tmp is in a container with a read-only root."""
    really = os.open

    def read_only(file: Path, flags: int, mode: int = 0o777) -> int:
        if flags & (os.O_CREAT | os.O_RDWR):
            raise OSError(errno.EROFS, "Read-only file system")
        return really(file, flags, mode)

    monkeypatch.setattr(os, "open", read_only)
    held = MachineLock(path).acquire(False, pytest.fail)
    with pytest.raises(UsageError, match="taken by another process;"):
        acquire(path)
    held.release()
    acquire(path)
    assert not path.exists()


@pytest.mark.parametrize(
    ("put", "why"),
    [
        (lambda path: path.symlink_to(path.with_name("target")), "symbolic link"),
        (Path.mkdir, "Is a directory"),
        (os.mkfifo, "Invalid argument"),
        (lambda path: path.parent.rmdir(), "No such file or directory"),
    ],
    ids=["symlink", "folder", "pipe", "no parent"],
)
def test_an_unusable_file_is_refused(path: Path, put: Callable[[Path], None], why: str) -> None:
    put(path)
    with pytest.raises(UsageError) as caught:
        acquire(path, wait=True)
    message = str(caught.value)
    assert f"{path}, the lock of this machine, cannot be used: " in message
    assert why in message
    assert "remove what is there" in message
    assert not path.with_name("target").exists()


@pytest.mark.parametrize(
    ("text", "shown"), [("\x1b[2J", r"taken by \?\[2J;"), ("", "taken by another process;")]
)
@pytest.mark.usefixtures("holder")
def test_the_files_text_is_not_trusted(path: Path, text: str, shown: str) -> None:
    path.write_text(text)
    with pytest.raises(UsageError, match=shown):
        acquire(path)
