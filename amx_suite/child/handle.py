"""The parent's side of a child process: start it, send requests, and report how it ended."""

from __future__ import annotations

__all__ = ["Child", "scratch_folder"]

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self, TypeVar

from amx_suite.child import main as program
from amx_suite.child.channel import LENGTH, ArrayMap, Channel, ChannelClosedError, FrameError
from amx_suite.child.inherited import QUIET, module_path, without_working_folder
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

#: Time for the interpreter and the handler's imports on a loaded machine.
_START_SECONDS = 60.0
_SECONDS_TO_DIE = 5.0
#: Progress bars may fill most of a log's end.
_BYTES_READ = 1 << 18
_TAIL_CHARACTERS = 4000
#: A bar of tqdm up to its times, such as ``50%|###  | 1/2 [00:01<00:01, 1.0it/s]``.
_BAR = re.compile(r"^.*?\[\d+:\d\d[^\]]*\]")
_MEMORY_REMEDY = "use a smaller shape or fewer arms at a time, or free memory"

_R = TypeVar("_R", bound=Reply)


class Child:
    """A child process that answers requests; several threads may share it.

    Use it as a context manager. ``environment`` defaults to this process's own. ``folder`` is the
    child's temporary folder, which must not exist yet. ``pid`` is the worker's process id. Raises
    LostChildError if the child is not ready within ``start_seconds``.
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
        # Holds the output until the worker writes to its own file.
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
        """Send the request and its arrays; returns the reply and its arrays.

        ``seconds`` limits the wait for the reply and defaults to the request's own limit. Raises
        LostChildError if the child dies, does not reply in time, or sends another reply. A failure
        that the child reports raises NotApplicableError, EngineUnavailableError, UsageError,
        OutOfMemoryError or ChildFailedError, and the child lives on.
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
        """Kill the child and everything it started; safe to call twice."""
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
        environment = {**QUIET, **without_working_folder(variables), "TMPDIR": str(self._folder)}
        try:
            with theirs:
                return start_program(command, environment, descriptor, log), Channel(ours)
        except OSError as error:
            ours.close()
            raise self._lost(f"it could not be started: {error}") from error

    def _end(self) -> int | None:
        """Let the keeper kill everything; returns the exit code (-N for signal N), or None."""
        self._channel.close()
        for _ in range(2):
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self._process.wait(_SECONDS_TO_DIE)
            # The keeper is stuck. The worker dies with it.
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(self._process.pid, signal.SIGKILL)
        shutil.rmtree(self._folder, ignore_errors=True)
        return None

    @contextlib.contextmanager
    def _losing(self, too_late: str) -> Iterator[None]:
        """Turn a broken conversation into a LostChildError, and kill the child."""
        try:
            yield
        except ChannelClosedError:
            self._gone = self._died()
            raise self._gone from None
        except TimeoutError:
            stopped = process_is_stopped(self.pid) if self._start_log is None else False
            why = " (it was stopped: SIGSTOP or a debugger)" if stopped else ""
            self._gone = self._kill(f"{too_late}{why}", silent=True)
            raise self._gone from None
        except FrameError as error:
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
        tail = self._start_text() + tail
        if code is None:
            return self._lost("it closed its end and does not die", tail)
        when = "before it was ready" if self._start_log is not None else "by itself"
        if code >= 0:
            return self._lost(f"it ended {when} with exit code {code}", tail, exit_code=code)
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        what = f"it was killed by {name}"
        killed_for_memory = code == -signal.SIGKILL and oom_kills() > self._oom_kills_before
        if killed_for_memory:
            what += f": the kernel ran out of memory; {_MEMORY_REMEDY}"
        return self._lost(what, tail, signal=-code, out_of_memory=killed_for_memory)

    def _kill(self, why: str, *, silent: bool = False) -> LostChildError:
        tail = self._log_tail()
        self._end()
        return self._lost(f"{why}; it has been killed", self._start_text() + tail, silent=silent)

    def _lost(self, what: str, tail: str = "", **how: Any) -> LostChildError:
        return LostChildError(self.label, what, tail, cpus=self.cpus, **how)

    def _failure(self, reply: Failed) -> Exception:
        """The exception for a failure that the child reported."""
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
        """The end of what the worker wrote; read it before the child ends."""
        try:
            with (self._folder / program.LOG).open("rb") as log:
                return _end_of(log)
        except OSError:
            return ""

    def _start_text(self) -> str:
        """What the child wrote before the worker was ready; complete once the child has ended."""
        return _end_of(self._start_log) if self._start_log is not None else ""


def _end_of(log: IO[bytes]) -> str:
    log.seek(max(0, log.seek(0, os.SEEK_END) - _BYTES_READ))
    return without_progress_bars(log.read().decode(errors="replace"))[-_TAIL_CHARACTERS:]


def without_progress_bars(text: str) -> str:
    """The text without what a later carriage return overwrites, and without tqdm's bars.

    A message that was written right behind a bar stays.
    """
    lines = []
    for line in text.split("\n"):
        _, overwrites, shown = line.rstrip("\r").rpartition("\r")
        if overwrites:
            shown = _BAR.sub("", shown).strip()
        if shown or not overwrites:
            lines.append(shown)
    return "\n".join(lines)


@contextlib.contextmanager
def scratch_folder(beside: Path, prefix: str) -> Iterator[Path]:
    """A new folder in ``beside``, removed afterwards even if this process is killed."""
    folder = beside / f"{prefix}{os.urandom(6).hex()}"
    handler = "amx_suite.child.serving:Idle"
    with Child(handler, label=f"keeps {folder.name}", folder=folder):
        yield folder
