"""The program of a child: ``python amx_suite/child/main.py DESCRIPTOR LABEL``.

It is started by its path, so that nothing of the package is imported before the module path is set.
The first frame on the socket is a ``Launch``. The process then forks: the fork is the worker, and
this process is its keeper. The keeper has one thread and no library that could hang, so it can
always kill the worker.

The label is for people who read a list of processes.
"""

from __future__ import annotations

__all__ = ["LOG", "Launch", "main"]

import ctypes
import faulthandler
import os
import resource
import select
import signal
import socket
import struct
import sys
from contextlib import suppress
from typing import NamedTuple

#: The file of the worker's standard output and error, in its temporary folder.
LOG = "log"

#: File names may hold any bytes.
_ENCODING = ("utf-8", "surrogateescape")
_PR_SET_PDEATHSIG = 1
_ENDING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


class Launch(NamedTuple):
    """The first frame, which describes the worker.

    ``path`` is the module path. ``folder`` is the temporary folder, which the child makes and
    removes. ``handler`` names what makes the handler: ``module:name``. The worker is bound to
    ``cpus``, or to none if empty. The frame is text separated by zero bytes, which no path
    contains, so that the keeper needs no library to read it.
    """

    path: tuple[str, ...]
    folder: str
    handler: str
    cpus: tuple[int, ...]

    def encode(self) -> bytes:
        """The frame's content."""
        cpus = ",".join(map(str, self.cpus))
        return "\0".join((self.folder, self.handler, cpus, *self.path)).encode(*_ENCODING)

    @classmethod
    def decode(cls, body: bytes) -> Launch:
        """The launch of a frame's content."""
        folder, handler, cpus, *path = body.decode(*_ENCODING).split("\0")
        numbers = tuple(int(cpu) for cpu in cpus.split(",") if cpu)
        return cls(tuple(path), folder, handler, numbers)


def main(argv: list[str]) -> int:
    """Fork the worker and watch it; returns its exit code, -N for signal N."""
    with socket.socket(fileno=int(argv[1])) as sock:
        sock.set_inheritable(False)
        launch = _receive_launch(sock)
        if launch is None:
            return 0
        # The package is found on the parent's module path, so it is imported after this.
        sys.path[:] = launch.path
        from amx_suite.child.processes import fork

        # A core file of an arm is gigabytes, and writing it would delay its end.
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.mkdir(launch.folder, 0o700)  # noqa: PTH102 - pathlib takes a while to import
        try:
            keeper = os.getpid()
            return _keep(sock, fork(lambda: _work(sock, launch, keeper)))
        finally:
            _remove(launch.folder)


def _receive_launch(sock: socket.socket) -> Launch | None:
    """The first frame, or None if the parent ended before it was sent."""
    with sock.makefile("rb") as stream:
        head = stream.read(4)
        body = stream.read(struct.unpack("<I", head)[0]) if len(head) == 4 else b""
    return Launch.decode(body) if body else None


def _work(sock: socket.socket, launch: Launch, keeper: int) -> int:
    """The worker's life; returns its exit code."""
    # The signal comes when the thread that forked ends: the keeper's only one.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != keeper:
        return 1
    os.setpgid(0, 0)
    log = os.open(f"{launch.folder}/{LOG}", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    faulthandler.enable()
    if launch.cpus:
        os.sched_setaffinity(0, launch.cpus)
    from amx_suite.child.serving import serve

    return serve(sock, launch.handler)


def _keep(sock: socket.socket, worker: int) -> int:
    """Wait until the parent or the worker ends, then kill everything that the worker started.

    If the worker ends first, the parent can still read the log until it closes its socket.
    """
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writer)
    for number in (*_ENDING, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    poll = select.poll()
    # Without requested events, poll reports only that the other end has closed.
    poll.register(sock, 0)
    poll.register(reader, select.POLLIN)
    ended = wanted_no_more = False
    while not wanted_no_more:
        if not ended and _has_ended(worker):
            ended = True
            _kill_group(worker)
            with suppress(OSError):
                sock.shutdown(socket.SHUT_WR)
        for descriptor, _ in poll.poll():
            if descriptor != reader or _ENDING.intersection(os.read(reader, 64)):
                wanted_no_more = True
    _kill_group(worker)
    return os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])


def _has_ended(worker: int) -> bool:
    """Whether the worker is a zombie; it keeps its process id until its group is killed.

    A worker that stops or continues sends SIGCHLD too.
    """
    asked = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, worker, asked) is not None


def _remove(folder: str) -> None:
    """Remove the temporary folder, which is usually empty but for the log."""
    with suppress(OSError):
        os.unlink(f"{folder}/{LOG}")  # noqa: PTH108 - as above
        os.rmdir(folder)  # noqa: PTH106
        return
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def _kill_group(group: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(group, signal.SIGKILL)
    # The worker may not have made its group yet.
    with suppress(ProcessLookupError):
        os.kill(group, signal.SIGKILL)


def _end(code: int) -> None:
    """End as the worker did: with its exit code, or by its signal."""
    if code < 0:
        with suppress(OSError):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(max(code, 0))


if __name__ == "__main__":
    _end(main(sys.argv))
