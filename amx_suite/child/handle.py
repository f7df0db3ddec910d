"""The parent's side of a child process: start it, send requests, and report how it ended."""

from __future__ import annotations

__all__ = ["Child", "end_children", "most_children"]

import contextlib
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Self, TypeVar

import msgspec

from amx_suite.child import main as program
from amx_suite.child.channel import (
    ArrayMap,
    Channel,
    Failed,
    Ready,
    Reply,
    Request,
)
from amx_suite.child.environment import child_variables, link_package, module_path
from amx_suite.child.interpreter import Interpreter
from amx_suite.child.limits import MEMORY_REMEDY, oom_kills, reached_limit
from amx_suite.errors import LostChildError, LostToLimitError, MachineChangedError
from amx_suite.files import new_temporary_folder, writing_in

#: Time for the interpreter and the handler's imports on a loaded machine.
START_SECONDS = 60.0
#: Time to take in a request and its arrays.
SEND_SECONDS = 30.0
_SECONDS_TO_DIE = 5.0
_TAIL_BYTES = 4000
#: Descriptors for the rest of this process. Each child takes one more.
_DESCRIPTORS_OF_THE_PARENT = 64

_R = TypeVar("_R", bound=Reply)

_started: weakref.WeakSet[Child] = weakref.WeakSet()


class Child:
    """A child process that answers requests; several threads may share it.

    Use it as a context manager. ``environment`` defaults to this process's own, ``python`` to this
    interpreter. ``pid`` is the worker's process id. Raises LostChildError if the child is not
    ready within START_SECONDS, and OutputError if TMPDIR has no room for its files.
    """

    def __init__(
        self,
        handler: str,
        *,
        label: str,
        cpus: Sequence[int] = (),
        environment: Mapping[str, str] | None = None,
        python: Interpreter | None = None,
    ) -> None:
        self.label = label
        self._cpus = frozenset(cpus)
        self._oom_kills_before = oom_kills()
        self._lock = threading.Lock()
        self._gone: LostChildError | None = None
        _raise_descriptor_limit()
        try:
            variables = os.environ if environment is None else environment
            self._start(handler, cpus, variables, python)
        except OSError as error:
            raise self._lost(f"it could not be started: {error}", str(error)) from error
        with self._losing(f"it did not start within {START_SECONDS:g} s"):
            self.pid = self._channel.receive(Ready, START_SECONDS)[0].pid

    def ask(self, request: Request, reply: type[_R], *, seconds: float | None = None) -> _R:
        """``exchange`` without arrays."""
        return self.exchange(request, reply, seconds=seconds)[0]

    def exchange(
        self,
        request: Request,
        reply: type[_R],
        arrays: ArrayMap | None = None,
        *,
        seconds: float | None = None,
    ) -> tuple[_R, ArrayMap]:
        """Send the request and its arrays; returns the reply and its arrays.

        ``seconds`` limits the wait for the reply and defaults to the request's own limit. Raises
        LostChildError if the child dies, does not reply in time, or sends another reply. A failure
        that the child reports is raised as ``Failed`` says, and the child lives on, as it does
        after MachineChangedError, which says that it no longer may use just its CPUs.
        """
        name, limit = type(request).__name__, seconds or request.seconds_to_answer
        with self._lock:
            if self._gone is not None:
                raise self._gone
            with self._losing(f"it did not take {name} within {SEND_SECONDS:g} s"):
                self._channel.send(request, arrays, SEND_SECONDS)
            with self._losing(f"it did not answer {name} within {limit:g} s"):
                answer, results = self._channel.receive(reply | Failed, limit)
        # First, because a child that was moved may fail for it.
        self._check_cpus()
        if isinstance(answer, Failed):
            raise answer.raised(self.label)
        return answer, results

    def disbelieve(self, what: str) -> LostChildError:
        """Kill the child for a reply that cannot be true; returns the error to raise."""
        self._gone = self._kill(f"its answer cannot be true: {what}")
        return self._gone

    def close(self) -> None:
        """Kill the child and everything it started; safe to call twice."""
        self._end()
        self._gone = self._gone or LostChildError(self.label, "it was ended by the suite before")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        self.close()

    def _start(
        self,
        handler: str,
        cpus: Sequence[int],
        variables: Mapping[str, str],
        python: Interpreter | None,
    ) -> None:
        ours, theirs = socket.socketpair()
        self._channel = Channel(ours)
        # After the sockets: where those cannot be had, no folder is left.
        self._folder = new_temporary_folder("amx-suite-")
        bound_to = ",".join(map(str, cpus))
        what = (self.label, str(theirs.fileno()), str(self._folder), handler, bound_to)
        try:
            with writing_in(self._folder):
                if python is not None:
                    link_package(self._folder / program.PACKAGE)
                log = (self._folder / program.LOG).open("ab")
            with theirs, log:
                # A session of its own, so that Ctrl-C in a terminal does not reach it.
                self._process = subprocess.Popen(
                    [
                        *(python.path if python else sys.executable, program.__file__, *what),
                        *(() if python else module_path()),
                    ],
                    env=child_variables(variables, self._folder, other_python=python is not None),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
        except BaseException:  # Ctrl-C too
            ours.close()
            # A keeper that has been started removes it as well.
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        _started.add(self)

    def _check_cpus(self) -> None:
        with contextlib.suppress(OSError):  # the next request says that it is gone
            now = os.sched_getaffinity(self.pid)
            if self._cpus and now != self._cpus:
                raise MachineChangedError(
                    f"child process {self.label} was bound to CPUs {_text(self._cpus)} and now may "
                    f"use {_text(now)}: a cpuset, CPU hotplug or taskset changed that"
                )

    def _end(self) -> int | None:
        """Let the keeper kill everything; returns the exit code (-N for signal N), or None."""
        self._channel.close()
        try:
            for _ in range(2):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    return self._process.wait(_SECONDS_TO_DIE)
                # The keeper is stuck. The worker dies with it.
                self._process.kill()
            return None
        finally:
            # A keeper that was killed has left it.
            shutil.rmtree(self._folder, ignore_errors=True)

    @contextlib.contextmanager
    def _losing(self, too_late: str) -> Iterator[None]:
        """Turn a broken conversation into a LostChildError, and kill the child."""
        try:
            yield
        except TimeoutError:
            self._gone = self._kill(too_late, silent=True)
            raise self._gone from None
        except OSError:  # broken, reset, or closed on this side
            self._gone = self._died()
            raise self._gone from None
        except msgspec.DecodeError as error:
            self._gone = self._kill(f"its answer cannot be read: {error}")
            raise self._gone from None
        except BaseException as error:
            if not isinstance(error, Exception):  # Ctrl-C: nobody reads the reply
                self.close()
            raise

    def _died(self) -> LostChildError:
        """How a child ended that closed its end of the socket without a reply."""
        tail = self._log_tail()
        code = self._end()
        if code is None:
            return LostChildError(self.label, "it closed its end and does not die", tail)
        if code >= 0:
            return self._lost(f"it ended by itself with exit code {code}", tail)
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        what = f"it was killed by {name}"
        if code == -signal.SIGKILL and oom_kills() > self._oom_kills_before:
            what += f": the kernel ran out of memory; {MEMORY_REMEDY}"
            return LostToLimitError(self.label, what, tail, signal=-code)
        return self._lost(what, tail, -code)

    def _lost(
        self, what: str, said: str, number: int | None = None, *, silent: bool = False
    ) -> LostChildError:
        """The error for a child that said this in the end, which may speak of a limit."""
        limit = reached_limit(said)
        if limit is None:
            return LostChildError(self.label, what, said, signal=number, silent=silent)
        what += f": {limit[1]}"
        return LostToLimitError(self.label, what, said, signal=number, silent=silent)

    def _kill(self, why: str, *, silent: bool = False) -> LostChildError:
        tail = self._log_tail()
        self._end()
        return self._lost(f"{why}; it has been killed", tail, silent=silent)

    def _log_tail(self) -> str:
        """The end of the log; the keeper removes it when this end of the socket closes."""
        try:
            with (self._folder / program.LOG).open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
                return log.read().decode(errors="replace")
        except OSError:
            return ""


def end_children() -> None:
    """End all children of this process, for a process that ends at once; takes about a second."""
    for child in tuple(_started):
        child._channel.close()  # so that they end at the same time
    for child in tuple(_started):
        child.close()


def _raise_descriptor_limit() -> int:
    """Raise the soft limit of open files to the hard limit; returns the new limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def most_children() -> int:
    """How many more children this process has descriptors for, at least one."""
    limit = _raise_descriptor_limit()
    if limit == resource.RLIM_INFINITY:
        limit = 1 << 20
    taken = sum(1 for _ in Path("/proc/self/fd").iterdir())
    return max(1, limit - taken - _DESCRIPTORS_OF_THE_PARENT)


def _text(cpus: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(cpus)))
