"""One lock for each machine, so that two runs that measure never disturb each other.

The kernel drops a file lock (flock(2)) when its process ends, so no stale lock remains. The file
stays empty; the holder is read from /proc. A container with its own /tmp has its own lock.
"""

from __future__ import annotations

__all__ = ["LOCK_PATH", "MachineLock"]

import errno
import fcntl
import os
import shlex
import stat
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from amx_suite.errors import MachineLockError

#: The same for every user; TMPDIR differs from user to user, and then so would the lock.
LOCK_PATH = Path("/tmp/amx-suite.lock")

_UNKNOWN = "another process"
#: Longer command lines are cut.
_MOST_CHARACTERS = 200


class MachineLock:
    """The lock of this machine, held until ``release`` or the end of the process.

    ``path`` defaults to ``LOCK_PATH``.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = LOCK_PATH if path is None else path
        self._descriptor: int | None = None

    def acquire(self, wait: bool, say: Callable[[str], None]) -> Self:
        """Take the lock, for a ``with`` statement or until ``release``; keeps it if held already.

        With ``wait`` it says once who holds the lock, and waits; Ctrl-C ends the wait. Raises
        MachineLockError if another run holds it and ``wait`` is False, if another object of this
        process holds it, and if the file cannot be used.
        """
        try:
            while self._descriptor is None:
                self._try_file(wait, say)
        except OSError as error:
            raise self._unusable(error.strerror or str(error)) from error
        return self

    def release(self) -> None:
        """Release the lock; does nothing if it is not held."""
        if self._descriptor is not None:
            # Closing is not enough: a child that is starting has a copy until its exec.
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _try_file(self, wait: bool, say: Callable[[str], None]) -> None:
        descriptor = self._open()
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise self._unusable("it is no ordinary file")
            _lock(descriptor, wait, say)
            # A removed file locks nothing: the next run would create a new one.
            if os.fstat(descriptor).st_nlink:
                self._descriptor = descriptor
        finally:
            if self._descriptor is None:
                os.close(descriptor)

    def _open(self) -> int:
        """A read-only descriptor, which flock accepts; children do not inherit it.

        The file may be another user's, and then Linux (fs.protected_regular) refuses O_CREAT in
        /tmp even if the file exists. So it is created only if it is missing.
        """
        # O_NONBLOCK, because opening a pipe would block.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        while True:
            try:
                return os.open(self._path, flags)
            except FileNotFoundError:
                pass
            except OSError as error:
                if error.errno == errno.ELOOP:
                    raise self._unusable("it is a symbolic link") from None
                raise
            try:
                descriptor = os.open(self._path, flags | os.O_CREAT | os.O_EXCL, 0o644)
            except FileExistsError:
                continue
            os.fchmod(descriptor, 0o644)  # whatever the umask: other users must read it
            return descriptor

    def _unusable(self, why: str) -> MachineLockError:
        return MachineLockError(
            f"{self._path}, the lock of this machine, cannot be used: {why}; expected an ordinary "
            "file that every user may read: remove what is there, and the next run makes it anew "
            f"({self._path.parent} must be writable for that)"
        )


def _lock(descriptor: int, wait: bool, say: Callable[[str], None]) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = _holder(descriptor)
        taken = f"this machine is taken by {_described(pid)}"
        if not wait or pid == os.getpid():
            raise MachineLockError(
                f"{taken}; two runs that measure would disturb each other: wait for it to end, or "
                "pass --wait (pytest: --amx-wait)"
            ) from None
        say(f"{taken}; waiting for it to end (Ctrl-C gives up)")
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _holder(descriptor: int) -> int | None:
    """The process that holds the lock on the file, or None.

    The kernel does not list processes outside this PID namespace.
    """
    found = os.fstat(descriptor)
    file = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    try:
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return None
    # "7: FLOCK  ADVISORY  WRITE 4321 fe:00:5242 0 EOF"; those that wait have "->" before FLOCK.
    for _, kind, _, _, pid, of, *_ in map(str.split, lines):
        if (kind, of) == ("FLOCK", file):
            return int(pid)
    return None


def _described(pid: int | None) -> str:
    import psutil

    try:
        process = psutil.Process(pid or 0)
        command = shlex.join(process.cmdline()) or process.name()
        began = datetime.fromtimestamp(process.create_time(), UTC).astimezone()
    except psutil.Error:
        return _UNKNOWN
    if len(command) > _MOST_CHARACTERS:
        command = f"{command[:_MOST_CHARACTERS]} ..."
    # Another user's command line must not control this terminal.
    shown = "".join(letter if letter.isprintable() else "?" for letter in command)
    return f"process {pid} (`{shown}`, started {began:%Y-%m-%d %H:%M})"
