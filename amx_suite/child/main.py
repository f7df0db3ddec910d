"""The program of a child: ``main.py LABEL DESCRIPTOR FOLDER HANDLER CPUS MODULE_PATH...``.

It is started by its path, so that nothing of the package is imported before the module path is set.
The process forks: the fork is the worker, and this process is its keeper. The keeper has one thread
and no library that could hang, so it can always kill the worker. The label is for people who read a
list of processes.
"""

from __future__ import annotations

__all__ = ["LOG", "exit_code_of", "fork", "main"]

import ctypes
import faulthandler
import os
import resource
import select
import signal
import socket
import sys
from collections.abc import Callable
from contextlib import suppress

#: The file of the child's standard output and error, in its temporary folder.
LOG = "log"

_PR_SET_PDEATHSIG = 1
_ENDING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


def main(argv: list[str]) -> int:
    """Fork the worker and watch it; returns its exit code, -N for signal N."""
    _, _label, descriptor, folder, handler, cpus, *path = argv
    # The package is found on the parent's module path.
    sys.path[:] = path
    # A core file of an arm is gigabytes, and writing it would delay its end.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    numbers = [int(cpu) for cpu in cpus.split(",") if cpu]
    with socket.socket(fileno=int(descriptor)) as sock:
        sock.set_inheritable(False)
        try:
            keeper = os.getpid()
            return _keep(sock, fork(lambda: _work(sock, handler, numbers, keeper)))
        finally:
            import shutil

            shutil.rmtree(folder, ignore_errors=True)


def fork(work: Callable[[], int]) -> int:
    """Run ``work`` in a fork of this process, whose exit code is what ``work`` returns.

    Returns the fork's process id. If ``work`` raises, the fork ends with code 1 and a traceback.
    """
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        code = work()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
        print(ended, file=sys.stderr)
    except BaseException:  # noqa: BLE001 - the fork must never return into its parent's code
        import traceback

        traceback.print_exc()
    finally:
        # Without interpreter shutdown, which can hang on a library's threads.
        for stream in (sys.stdout, sys.stderr):
            with suppress(AttributeError, OSError):  # closed, or its disk is full
                stream.flush()
        os._exit(code)


def exit_code_of(pid: int) -> int:
    """Wait for the process to end; its exit code, -N for signal N."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def _work(sock: socket.socket, handler: str, cpus: list[int], keeper: int) -> int:
    """The worker's life; returns its exit code."""
    # The signal comes when the thread that forked ends: the keeper's only one.
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != keeper:
        return 1
    os.setpgid(0, 0)
    faulthandler.enable()
    if cpus:
        os.sched_setaffinity(0, cpus)
    from amx_suite.child.channel import serve

    return serve(sock, handler)


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
    return exit_code_of(worker)


def _has_ended(worker: int) -> bool:
    """Whether the worker is a zombie; it keeps its process id until its group is killed.

    A worker that stops or continues sends SIGCHLD too.
    """
    asked = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, worker, asked) is not None


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
