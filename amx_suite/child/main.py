"""The program of a child: ``main.py LABEL DESCRIPTOR FOLDER HANDLER CPUS [MODULE_PATH...]``.

It is started by its path, so that nothing of the package is imported before the module path is set.
Without a module path this is another Python than the parent's: it keeps its own, and finds the
package in front of it, in FOLDER.
The process forks: the fork is the worker, and this process is its keeper. The keeper has one thread
and no library that could hang, so it can always kill the worker. It adopts what the worker's
children leave behind, also in other sessions (PR_SET_CHILD_SUBREAPER, prctl(2)), and kills it too.
The label is for people who read a list of processes.
"""

from __future__ import annotations

__all__ = ["LOG", "PACKAGE", "exit_code_of", "fork", "main"]

import ctypes
import faulthandler
import os
import resource
import select
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress

#: The file of the child's standard output and error, in its temporary folder.
LOG = "log"
#: The folder there that holds nothing but the package, for another Python.
PACKAGE = "package"

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_ENDING = frozenset({signal.SIGTERM, signal.SIGINT, signal.SIGHUP})


def main(argv: list[str]) -> int:
    """Fork the worker and watch it; returns its exit code, -N for signal N."""
    _, _label, descriptor, folder, handler, cpus, *path = argv
    sys.path[:] = path or [f"{folder}/{PACKAGE}", *sys.path]
    # A core file of an arm is gigabytes, and writing it would delay its end.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    numbers = [int(cpu) for cpu in cpus.split(",") if cpu]
    with socket.socket(fileno=int(descriptor)) as sock:
        sock.set_inheritable(False)
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
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

    If the worker ends first, the parent can still read the log until it closes its socket. Returns
    the worker's exit code.
    """
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.set_wakeup_fd(writer)
    for number in (*_ENDING, signal.SIGCHLD):
        signal.signal(number, lambda *_: None)
    poll = select.poll()
    # Without requested events, poll reports only that the other end has closed.
    poll.register(sock, 0)
    poll.register(reader, select.POLLIN)
    code: int | None = None
    while True:
        if code is None and _has_ended(worker):
            code = _end_all(worker)
            with suppress(OSError):
                sock.shutdown(socket.SHUT_WR)
        for descriptor, _ in poll.poll():
            if descriptor != reader or _ENDING.intersection(os.read(reader, 64)):
                return _end_all(worker) if code is None else code


def _has_ended(worker: int) -> bool:
    """Whether the worker is a zombie; one that stops or continues sends SIGCHLD too."""
    return os.waitid(os.P_PID, worker, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None


def _end_all(worker: int) -> int:
    """Kill the worker and all that it started, and wait for their end; the worker's exit code."""
    for kill in (os.killpg, os.kill):  # it may not have made its group yet
        with suppress(ProcessLookupError, PermissionError):
            kill(worker, signal.SIGKILL)
    code = exit_code_of(worker)
    # What is in groups of its own has become this process's child, or does when its parent dies.
    with suppress(ChildProcessError):
        while True:
            if os.waitpid(-1, os.WNOHANG) == (0, 0):
                for child in _children():
                    with suppress(ProcessLookupError, PermissionError):
                        os.kill(child, signal.SIGKILL)
                os.wait()
    return code


def _children() -> Iterator[int]:
    """Process ids of this process's children. Few kernels list them (CONFIG_PROC_CHILDREN)."""
    from pathlib import Path

    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has just ended
            # Behind the name, which may hold blanks and brackets: state, parent (proc_pid_stat(5)).
            _state, parent, *_ = stat.read_text(errors="replace").rpartition(")")[2].split()
            if int(parent) == os.getpid():
                yield int(stat.parent.name)


def _end(code: int) -> None:
    """End as the worker did: with its exit code, or by its signal."""
    if code < 0:
        with suppress(OSError):
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(max(code, 0))


if __name__ == "__main__":
    _end(main(sys.argv))
