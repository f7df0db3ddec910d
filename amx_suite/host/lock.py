"""One lock for each machine, so that two runs that measure never disturb each other.

The kernel drops a file lock (flock(2)) when its process ends, so no stale lock remains. The holder
writes into the file who it is. A container with its own /tmp has its own lock.
"""

from __future__ import annotations

__all__ = ["LOCK_PATH", "MachineLock"]

import errno
import fcntl
import os
import shlex
import stat
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self

from amx_suite.errors import UsageError

#: The same for every user; TMPDIR differs from user to user, and then so would the lock.
LOCK_PATH = Path("/tmp/amx-suite.lock")

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
        UsageError if another run holds it and ``wait`` is False, and if the file cannot be used.
        """
        if self._descriptor is not None:
            return self
        try:
            descriptor = _open(self._path)
            try:
                _lock(descriptor, wait, say)
                _write_holder(descriptor)
            except BaseException:
                os.close(descriptor)
                raise
        except OSError as error:
            raise UsageError(
                f"{self._path}, the lock of this machine, cannot be used: {error.strerror}; "
                "expected a file that every user may write: remove what is there, and the next run "
                f"makes it anew ({self._path.parent} must be writable for that)"
            ) from error
        self._descriptor = descriptor
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


def _open(path: Path) -> int:
    """A descriptor that children do not inherit.

    The file may be another user's, and then Linux (fs.protected_regular) refuses O_CREAT in /tmp
    even if the file exists. So it is created only if it is missing. Where the file system is
    read-only, it is so for all, and the folder itself is locked.
    """
    flags = os.O_RDWR | os.O_NOFOLLOW
    try:
        try:
            return os.open(path, flags)
        except FileNotFoundError:
            descriptor = os.open(path, flags | os.O_CREAT, 0o666)
            os.fchmod(descriptor, 0o666)  # whatever the umask: other users must write it
            return descriptor
    except OSError as error:
        if error.errno != errno.EROFS:
            raise
        return os.open(path.parent, os.O_RDONLY)


def _lock(descriptor: int, wait: bool, say: Callable[[str], None]) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        taken = f"this machine is taken by {_holder(descriptor)}"
        if not wait:
            raise UsageError(
                f"{taken}; two runs that measure would disturb each other: wait for it to end, or "
                "pass --wait (pytest: --amx-wait)"
            ) from None
        say(f"{taken}; waiting for it to end (Ctrl-C gives up)")
        fcntl.flock(descriptor, fcntl.LOCK_EX)


def _write_holder(descriptor: int) -> None:
    now = time.strftime("%Y-%m-%d %H:%M")
    text = f"process {os.getpid()} since {now} (`{shlex.join(sys.orig_argv)[:_MOST_CHARACTERS]}`)"
    if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(errors="replace"), 0)


def _holder(descriptor: int) -> str:
    text = ""
    with suppress(IsADirectoryError):
        text = os.pread(descriptor, 1000, 0).decode(errors="replace")
    # Any user may write the file, and it must not control this terminal.
    shown = "".join(letter if letter.isprintable() else "?" for letter in text)
    return shown or "another process"
