"""The child's main program: ``python -m amx_suite.worker.child FD PARENT_PID JAIL``.

The jail comes first, before any import that could ask for the tile permission; only then are the
protocol and, behind it, torch imported. The child answers requests until it is told to close or
its parent is gone.
"""

from __future__ import annotations

__all__ = ["Serving", "main", "serve"]

import ctypes
import faulthandler
import os
import signal
import socket
import sys
import traceback
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from amx_suite.core.evidence import Jail
    from amx_suite.worker.messages import Launch, Reply, Request
    from amx_suite.worker.protocol import ArrayMap

_PR_SET_PDEATHSIG = 1


class Serving(Protocol):
    """What answers requests inside a child."""

    def handle(self, request: Request, arrays: ArrayMap) -> tuple[Reply, ArrayMap]:
        """Carry out one request."""


def _die_with_parent(parent_pid: int) -> None:
    """Have the kernel kill this process when its parent ends, however it ends."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it ended before the kernel was told
        os._exit(1)


def _enter_jail(wanted: bool) -> Jail:
    """Have the kernel refuse AMX if so wanted; a jail that cannot be set is said, not fatal."""
    from amx_suite.worker.jail import JailUnavailableError, refuse_amx

    state, note = "not asked", ""
    if wanted:
        try:
            refuse_amx()
            state = "held"
        except JailUnavailableError as error:
            state, note = "unavailable", str(error)
    from amx_suite.core.evidence import Jail

    if note:
        print(f"the AMX jail could not be set: {note}", file=sys.stderr)
    return Jail(state)


def serve(sock: socket.socket, jail: Jail, make: Callable[[Launch, Jail], Serving]) -> int:
    """Answer requests on the socket until Close or the end of the parent; returns an exit code."""
    from amx_suite.worker.messages import Close, Done, Failed, FailureKind, Hello, Launch
    from amx_suite.worker.protocol import Channel, ChannelClosedError

    channel = Channel(sock)
    serving: Serving | None = None
    while True:
        try:
            request, arrays = channel.receive_request()
        except ChannelClosedError:
            return 0
        reply: Reply
        results: ArrayMap = {}
        try:
            if isinstance(request, Launch):
                os.sched_setaffinity(0, request.cpus)
                serving = make(request, jail)
                reply = Hello(os.getpid(), jail)
            elif isinstance(request, Close):
                reply = Done()
            elif serving is None:
                reply = Failed(FailureKind.ERROR, "the first message must be Launch")
            else:
                reply, results = serving.handle(request, arrays)
        except Exception as error:  # noqa: BLE001 - whatever happens must reach the parent
            message = f"{type(error).__name__}: {error}"
            reply = Failed(FailureKind.ERROR, message, traceback.format_exc())
        try:
            channel.send(reply, results)
        except ChannelClosedError:
            return 0
        if isinstance(request, Close):
            return 0


def main(argv: list[str], make: Callable[[Launch, Jail], Serving]) -> int:
    """Set up the process as the parent's child and serve."""
    faulthandler.enable()
    descriptor, parent_pid, jailed = int(argv[1]), int(argv[2]), argv[3] == "jail"
    _die_with_parent(parent_pid)
    os.set_inheritable(descriptor, False)
    jail = _enter_jail(jailed)
    with socket.socket(fileno=descriptor) as sock:
        return serve(sock, jail, make)


def _make_session(launch: Launch, jail: Jail) -> Serving:
    from amx_suite.worker.session import Session

    return Session(launch, jail)


if __name__ == "__main__":
    # Interpreter shutdown can hang on a library's threads, and nothing is left to be saved.
    code = main(sys.argv, _make_session)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
