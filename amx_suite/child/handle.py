"""The parent's handle of one child: start it, ask it, and know what became of it."""

from __future__ import annotations

__all__ = ["Child", "scratch_folder"]

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Self, TypeVar

from amx_suite.child import main as program
from amx_suite.child.channel import LENGTH, ArrayMap, Channel, ChannelClosedError, FrameError
from amx_suite.child.imports import module_path, without_working_folder
from amx_suite.child.limits import oom_kills, process_is_stopped, raise_descriptor_limit
from amx_suite.child.messages import Failed, FailureKind, Ready, Reply, Request
from amx_suite.child.processes import Process, start_program
from amx_suite.errors import (
    ChildFailedError,
    EngineUnavailableError,
    LostChildError,
    NotApplicableError,
    OutOfMemoryError,
    UsageError,
)

#: For an interpreter and the handler's imports on a loaded machine.
_START_SECONDS = 60.0
_SECONDS_TO_DIE = 5.0
_TAIL_BYTES = 4000
_MEMORY_REMEDY = "use a smaller shape or fewer arms at a time, or free memory"

_R = TypeVar("_R", bound=Reply)


class Child:
    """One child process and the conversation with it; may be used from several threads.

    Use it as a context manager. ``environment`` is the child's, this process's own if left out, and
    ``folder`` its temporary folder, which must not exist. ``pid`` is the worker's. Raises
    LostChildError if the child does not come up within ``start_seconds``.
    """

    def __init__(
        self,
        handler: str,
        *,
        label: str,
        cpus: Sequence[int] = (),
        environment: Mapping[str, str] | None = None,
        folder: Path | None = None,
        start_seconds: float = _START_SECONDS,
    ) -> None:
        self.label = label
        self.cpus = tuple(cpus)
        self._folder = folder or Path(tempfile.gettempdir(), f"amx-suite-{os.urandom(6).hex()}")
        self._oom_kills_before = oom_kills()
        self._lock = threading.Lock()
        self._gone: LostChildError | None = None
        raise_descriptor_limit()
        # Until the worker writes to a file of its own.
        with tempfile.TemporaryFile() as start_log:
            self._start_log: IO[bytes] | None = start_log
            variables = os.environ if environment is None else environment
            self._process, self._channel = self._start(variables, start_log)
            launch = program.Launch(module_path(), str(self._folder), handler, self.cpus)
            body = launch.encode()
            with self._losing(f"it did not start within {start_seconds:g} s"):
                self._channel.send_bytes(LENGTH.pack(len(body)) + body, start_seconds)
                self.pid = self._channel.receive(Ready, start_seconds)[0].pid
            self._start_log = None

    def ask(
        self,
        request: Request,
        reply: type[_R],
        arrays: ArrayMap | None = None,
        *,
        seconds: float | None = None,
    ) -> _R:
        """Send the request and wait for its reply; see ``exchange``."""
        return self.exchange(request, reply, arrays, seconds=seconds)[0]

    def exchange(
        self,
        request: Request,
        reply: type[_R],
        arrays: ArrayMap | None = None,
        *,
        seconds: float | None = None,
    ) -> tuple[_R, ArrayMap]:
        """Send the request with its arrays; the reply with its own.

        ``seconds`` is the time for the answer, the request's own if left out. Raises LostChildError
        if the child dies, falls silent, or answers anything else; what it reports raises
        NotApplicableError, EngineUnavailableError, UsageError, OutOfMemoryError or
        ChildFailedError, and it lives on.
        """
        name, limit = type(request).__name__, seconds or request.seconds_to_answer
        with self._lock:
            if self._gone is not None:
                raise self._gone
            with self._losing(f"it did not take {name} within {request.seconds_to_send:g} s"):
                self._channel.send(request, arrays, request.seconds_to_send)
            with self._losing(f"it did not answer {name} within {limit:g} s"):
                answer, results = self._channel.receive(reply | Failed, limit)
        if isinstance(answer, Failed):
            raise self._failure(answer)
        return answer, results

    def close(self) -> None:
        """End the child and all that it started, at once; safe to call twice."""
        self._end()
        self._gone = self._gone or self._lost("it was ended by the suite before")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        self.close()

    def _start(self, variables: Mapping[str, str], log: IO[bytes]) -> tuple[Process, Channel]:
        ours, theirs = socket.socketpair()
        descriptor = theirs.fileno()
        command = [sys.executable, program.__file__, str(descriptor), self.label]
        environment = {**without_working_folder(variables), "TMPDIR": str(self._folder)}
        try:
            with theirs:
                return start_program(command, environment, descriptor, log), Channel(ours)
        except OSError as error:
            ours.close()
            raise self._lost(f"it could not be started: {error}") from error

    def _end(self) -> int | None:
        """Have the keeper end everything; the exit code, minus the signal, None if not known."""
        self._channel.close()
        for _ in range(2):
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self._process.wait(_SECONDS_TO_DIE)
            # The keeper itself is stuck. Its end is the worker's too.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self._process.pid, signal.SIGKILL)
        shutil.rmtree(self._folder, ignore_errors=True)
        return None

    @contextlib.contextmanager
    def _losing(self, too_late: str) -> Iterator[None]:
        """Turn each way in which a conversation can break into a LostChildError, and end it."""
        try:
            yield
        except ChannelClosedError:
            self._gone = self._died()
            raise self._gone from None
        except TimeoutError:
            stopped = process_is_stopped(self.pid) if self._start_log is None else False
            why = " (it was stopped: SIGSTOP or a debugger)" if stopped else ""
            self._gone = self._given_up(f"{too_late}{why}; it has been killed", silent=True)
            raise self._gone from None
        except FrameError as error:
            self._gone = self._given_up(f"its answer cannot be read: {error}; it has been killed")
            raise self._gone from None
        except BaseException as error:
            if not isinstance(error, Exception):  # Ctrl-C: the answer will come to nobody
                self.close()
            raise

    def _died(self) -> LostChildError:
        """What became of a child that closed its end without an answer."""
        tail = self._log_tail()
        code = self._end()
        tail = self._start_text() + tail
        if code is None:
            return self._lost("it closed its end and does not die", tail)
        when = "before it was ready" if self._start_log is not None else "by itself"
        if code >= 0:
            return self._lost(f"it ended {when} with exit code {code}", tail, exit_code=code)
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        killed_for_memory = code == -signal.SIGKILL and oom_kills() > self._oom_kills_before
        what = f"it was killed by {name}"
        if killed_for_memory:
            what += f": the kernel ran out of memory; {_MEMORY_REMEDY}"
        return self._lost(what, tail, signal=-code, out_of_memory=killed_for_memory)

    def _given_up(self, what: str, *, silent: bool = False) -> LostChildError:
        tail = self._log_tail()
        self._end()
        return self._lost(what, self._start_text() + tail, silent=silent)

    def _lost(
        self,
        what: str,
        tail: str = "",
        *,
        exit_code: int | None = None,
        signal: int | None = None,
        silent: bool = False,
        out_of_memory: bool = False,
    ) -> LostChildError:
        return LostChildError(
            self.label,
            what,
            tail,
            cpus=self.cpus,
            exit_code=exit_code,
            signal=signal,
            silent=silent,
            out_of_memory=out_of_memory,
        )

    def _failure(self, reply: Failed) -> Exception:
        """The exception that stands for what the child reported."""
        match reply.kind:
            case FailureKind.NOT_APPLICABLE:
                return NotApplicableError(reply.message)
            case FailureKind.UNAVAILABLE:
                return EngineUnavailableError(reply.message)
            case FailureKind.USAGE:
                return UsageError(reply.message)
            case FailureKind.MEMORY:
                what = f"out of memory ({reply.message}); {_MEMORY_REMEDY}"
                return OutOfMemoryError(self.label, what)
        return ChildFailedError(self.label, reply.message, reply.traceback)

    def _log_tail(self) -> str:
        """The end of what the worker wrote; it must not be ended yet."""
        try:
            with (self._folder / program.LOG).open("rb") as log:
                log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
                return log.read().decode(errors="replace")
        except OSError:
            return ""

    def _start_text(self) -> str:
        """What was said before the worker was ready; complete once the child is ended."""
        if self._start_log is None:
            return ""
        self._start_log.seek(0)
        return self._start_log.read(_TAIL_BYTES).decode(errors="replace")


@contextlib.contextmanager
def scratch_folder(beside: Path, prefix: str) -> Iterator[Path]:
    """A new folder in ``beside`` that is gone afterwards, even if this process is killed."""
    folder = beside / f"{prefix}{os.urandom(6).hex()}"
    handler = "amx_suite.child.serving:Idle"
    with Child(handler, label=f"keeps {folder.name}", folder=folder):
        yield folder
