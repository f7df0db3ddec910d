"""The parent's handle of one child: start it, ask it, and know what became of it."""

from __future__ import annotations

__all__ = ["IsaWorker", "Timeouts", "start_tile_worker"]

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

import msgspec

from amx_suite.core.case import Precision, RunCase
from amx_suite.core.evidence import Jail
from amx_suite.core.isa import Isa
from amx_suite.core.noise import Reading
from amx_suite.core.peaks import Peaks
from amx_suite.engines import ENGINES
from amx_suite.errors import (
    CeilingIgnoredError,
    EngineUnavailableError,
    NotApplicableError,
    ProtocolError,
    UsageError,
    WorkerDiedError,
    WorkerFailedError,
    WorkerHungError,
    WorkerMemoryError,
    WorkerStartError,
)
from amx_suite.tmul.batch import BatchResult, SoakSlice, TileBatch
from amx_suite.worker import messages as words
from amx_suite.worker.environment import child_environment
from amx_suite.worker.postmortem import describe_exit, is_stopped, oom_kills
from amx_suite.worker.protocol import ArrayMap, Channel, ChannelClosedError, FrameError
from amx_suite.workloads.base import Inputs

_CHILD_PROGRAM = (sys.executable, "-m", "amx_suite.worker.child")
_STDERR_TAIL_BYTES = 4000
_SECONDS_TO_DIE = 5.0

_R = TypeVar("_R", bound=words.Reply)


class Timeouts(msgspec.Struct, frozen=True):
    """Seconds of silence after which a child counts as hung."""

    start: float = 60.0
    prepare: float = 900.0
    work: float = 600.0
    close: float = 5.0


class IsaWorker:
    """One child process under one ISA ceiling.

    The child has its own process group, no standard input, and dies with its parent. Arms without
    AMX are jailed: the kernel refuses them the tile permission from before their first import.
    Use it as a context manager; leaving it by an exception kills the child at once.

    ``engine`` may be none of the table's where no model is prepared, as for tiles alone. Raises
    WorkerStartError if the child does not come up.
    """

    def __init__(
        self,
        isa: Isa,
        engine: str,
        *,
        threads: int,
        cpus: tuple[int, ...],
        label: str = "",
        timeouts: Timeouts | None = None,
        inherited: Mapping[str, str] | None = None,
        program: tuple[str, ...] = _CHILD_PROGRAM,
    ) -> None:
        self.label = label or f"{engine}@{isa}"
        self.environment = child_environment(
            isa,
            threads,
            os.environ if inherited is None else inherited,
            ENGINES[engine].variables(isa) if engine in ENGINES else {},
        )
        self._timeouts = timeouts = timeouts or Timeouts()
        self._jailed = not isa.allows_amx
        self._oom_kills_before = oom_kills()
        # A file, not a pipe: a child that writes much can neither block nor be blocked on.
        self._stderr = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the worker
        self._last_words = ""
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [
                    *program,
                    str(theirs.fileno()),
                    str(os.getpid()),
                    "jail" if self._jailed else "free",
                ],
                env=self.environment.variables,
                stdin=subprocess.DEVNULL,
                stdout=self._stderr,
                stderr=self._stderr,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self._channel = Channel(ours)
        try:
            hello, _ = self._ask(
                words.Launch(isa, engine, threads, cpus), words.Hello, timeouts.start
            )
        except WorkerDiedError as error:
            raise WorkerStartError(self.label, error.what, error.stderr_tail) from None
        except BaseException:
            self.kill()
            raise
        self.jail: Jail = hello.jail

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    def prepare(
        self,
        case: RunCase,
        inputs: Inputs,
        *,
        slice_seconds: float = words.SLICE_SECONDS,
        slowdown: float = 0.0,
    ) -> words.Prepared:
        """Have the child build, prepare and warm up the case's model; see ``words.Prepare``."""
        request = words.Prepare(case, inputs, slice_seconds, slowdown)
        return self._ask(request, words.Prepared, self._timeouts.prepare)[0]

    def take_slice(self, iterations: int) -> words.SliceTaken:
        """Time that many consecutive steps; blocks on the socket, and does nothing else."""
        return self._ask(words.TakeSlice(iterations), words.SliceTaken, self._timeouts.work)[0]

    def probe(self) -> Reading:
        """How fast each unit is now on this worker's CPUs; blocks on the socket meanwhile."""
        return self._ask(words.Probe(), words.Probed, self._timeouts.work)[0].reading

    def prove(self) -> words.Proof:
        """Run one untimed step with the kernel log on, and read the permission back."""
        return self._ask(words.Prove(), words.Proof, self._timeouts.work)[0]

    def outputs(self) -> Any:
        """The prepared inference model's logits, shape [batch, ...]."""
        return self._ask(words.Outputs(), words.Arrays, self._timeouts.work)[1]["logits"]

    def losses(self, *, steps: int, batch: int) -> Any:
        """Losses of the first training steps from the seeded start, shape [steps]."""
        request = words.Losses(steps, batch)
        return self._ask(request, words.Arrays, self._timeouts.work)[1]["losses"]

    def gradients(self, *, batch: int) -> ArrayMap:
        """Gradients of the first training step from the seeded start, by parameter name."""
        return self._ask(words.Gradients(batch), words.Arrays, self._timeouts.work)[1]

    def checkpoint(self, path: str) -> None:
        """Have the child write model and optimizer state to ``path``."""
        self._ask(words.Checkpoint(path), words.Done, self._timeouts.work)

    def release(self) -> None:
        """Have the child free its prepared model, which it prepares anew when it is needed."""
        self._ask(words.Release(), words.Done, self._timeouts.work)

    def operate(
        self, operator: str, precision: Precision, arrays: ArrayMap, **settings: int
    ) -> Any:
        """Run one operator of ``workloads.operators`` on the given arrays; returns its output."""
        request = words.Operate(operator, precision, settings)
        replied = self._ask(request, words.Arrays, self._timeouts.work, arrays)
        return replied[1]["output"]

    def measure_peaks(self, readings: int) -> Peaks:
        """Have the child read the most that each unit gives on its CPUs."""
        return self._ask(words.MeasurePeaks(readings), words.PeaksMeasured, self._timeouts.work)[
            0
        ].peaks

    def check_tiles(self, batch: TileBatch) -> BatchResult:
        """Have the child run a batch of tile multiplications and compare it with the oracle."""
        return self._ask(words.CheckTiles(batch), words.TilesChecked, self._timeouts.work)[0].result

    def rerun_tile(self, result: BatchResult) -> BatchResult:
        """Have the child run the tile of a stored mismatch again."""
        return self._ask(words.RerunTile(result), words.TilesChecked, self._timeouts.work)[0].result

    def soak_tiles(self, batch: TileBatch, seconds: float) -> SoakSlice:
        """Have the child repeat a batch for that long."""
        timeout = self._timeouts.work + seconds
        return self._ask(words.SoakTiles(batch, seconds), words.TilesSoaked, timeout)[0].piece

    def close(self) -> None:
        """End the child in good order, or kill it if it does not end within the time limit."""
        if self._process.poll() is None:
            with contextlib.suppress(ChannelClosedError, TimeoutError, FrameError):
                self._channel.send(words.Close())
                self._channel.receive_reply(self._timeouts.close)
                self._process.wait(self._timeouts.close)
        self.kill()

    def kill(self) -> None:
        """Kill the child and all it started; safe to call twice."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_SECONDS_TO_DIE)
        self._channel.close()
        self._last_words = self._stderr_tail()
        self._stderr.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.kill()

    def _ask(
        self,
        request: words.Request,
        expected: type[_R],
        timeout_seconds: float,
        arrays: ArrayMap | None = None,
    ) -> tuple[_R, ArrayMap]:
        try:
            self._channel.send(request, arrays)
            reply, results = self._channel.receive_reply(timeout_seconds)
        except ChannelClosedError:
            raise self._death() from None
        except TimeoutError:
            raise self._silence(type(request).__name__, timeout_seconds) from None
        except FrameError as error:
            tail = self._stderr_tail()
            self.kill()
            raise ProtocolError(self.label, f"its answer cannot be read: {error}", tail) from None
        except BaseException:  # Ctrl-C: the answer will come to nobody
            self.kill()
            raise
        if isinstance(reply, words.Failed):
            raise self._failure(reply)
        if not isinstance(reply, expected):
            self.kill()
            found = type(reply).__name__
            raise ProtocolError(
                self.label, f"it answered {found} where {expected.__name__} was expected"
            )
        return reply, results

    def _failure(self, reply: words.Failed) -> Exception:
        """The exception that stands for what the child reported; the child lives on."""
        if reply.kind is words.FailureKind.NOT_APPLICABLE:
            return NotApplicableError(reply.message)
        if reply.kind is words.FailureKind.UNAVAILABLE:
            return EngineUnavailableError(reply.message)
        if reply.kind is words.FailureKind.USAGE:
            return UsageError(reply.message)
        if reply.kind is words.FailureKind.MEMORY:
            return self._out_of_memory(reply.message)
        return WorkerFailedError(self.label, reply.message, reply.traceback)

    def _death(self) -> WorkerDiedError | WorkerMemoryError:
        """The typed error for a child that closed its end of the socket without an answer."""
        try:
            returncode = self._process.wait(_SECONDS_TO_DIE)
        except subprocess.TimeoutExpired:
            returncode = -signal.SIGKILL
        tail = self._stderr_tail()
        self.kill()
        if returncode == -signal.SIGKILL and oom_kills() > self._oom_kills_before:
            return self._out_of_memory("the kernel's memory killer ended it", tail)
        what = describe_exit(returncode, jailed=self._jailed)
        ignored = self._jailed and returncode == -signal.SIGILL
        return (CeilingIgnoredError if ignored else WorkerDiedError)(self.label, what, tail)

    def _out_of_memory(self, what: str, tail: str = "") -> WorkerMemoryError:
        remedy = "use a smaller shape or fewer arms at a time, or free memory"
        return WorkerMemoryError(self.label, f"out of memory ({what}); {remedy}", tail)

    def _silence(self, request: str, seconds: float) -> WorkerHungError:
        stopped = is_stopped(self._process.pid)
        tail = self._stderr_tail()
        self.kill()
        what = f"no answer to {request} within {seconds:g} s"
        if stopped:
            what += "; the process was stopped (SIGSTOP or a debugger)"
        return WorkerHungError(self.label, f"{what}; it has been killed", tail)

    def _stderr_tail(self) -> str:
        if self._stderr.closed:
            return self._last_words
        size = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, size - _STDERR_TAIL_BYTES))
        return self._stderr.read().decode(errors="replace")


def start_tile_worker(cpu: int) -> IsaWorker:
    """A worker for single tile instructions: bound to the CPU, no engine, and tiles allowed."""
    return IsaWorker(Isa.AMX, "none", threads=1, cpus=(cpu,), label=f"tiles on CPU {cpu}")
