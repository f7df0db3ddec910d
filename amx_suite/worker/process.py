"""An arm's child, seen by its parent: what it is asked, what it replies, and how it starts."""

from __future__ import annotations

__all__ = [
    "ArmRequest",
    "Checkpoint",
    "ChildEnvironment",
    "Done",
    "Gradients",
    "IsaWorker",
    "Losses",
    "Operate",
    "Operated",
    "Outputs",
    "Prepare",
    "Prepared",
    "Proof",
    "Prove",
    "Release",
    "SliceTaken",
    "StampSteps",
    "TakeSlice",
    "child_environment",
]

import itertools
import os
import reprlib
import signal
import time
from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from amx_suite.child.channel import ArrayMap, Reply, Request
from amx_suite.child.environment import PYTHON_SWITCHES
from amx_suite.child.handle import Child
from amx_suite.child.interpreter import Interpreter
from amx_suite.core.case import RunCase
from amx_suite.core.evidence import Evidence, KernelUse
from amx_suite.core.isa import Isa
from amx_suite.core.packages import installed_in
from amx_suite.core.precision import Precision
from amx_suite.core.units import Count, Duration, Natural, Seconds
from amx_suite.engines import ENGINES
from amx_suite.errors import CeilingIgnoredError, LostChildError
from amx_suite.host.cpuinfo import read_cpuinfo
from amx_suite.workloads.base import Inputs

#: Variables of these families steer numerics, instruction sets, threads, memory or compilers: a
#: case sets its own, and the user's must not leak in. Sources: the manuals of oneDNN, oneMKL, ATen,
#: OpenMP runtimes, PyTorch and glibc; ``config.py`` of torch's _dynamo, _inductor and _functorch.
_OWNED_PREFIXES = (
    "AOT_",
    "AOTI",
    "ATEN_",
    "DNNL_",
    "FX_",
    "GOMP_",
    "INDUCTOR_",
    "IPEX_",
    "KMP_",
    "MALLOC_",
    "MKL_",
    "OMP_",
    "ONEDNN_",
    "PYTORCH_JIT",
    "TORCH",
    "TRITON_",
)
#: Single ones: of the loader, of glibc, of transformers, and Python's, which no child gets.
_OWNED_NAMES = frozenset(
    {"GLIBC_TUNABLES", "LD_AUDIT", "LD_PRELOAD", "USE_FLAX", "USE_TF", "USE_TORCH"}
    | PYTHON_SWITCHES
)
#: A step of many in one request takes no longer, unless the child hangs.
_MOST_STEP_SECONDS = 10.0


class _Request(Request, frozen=True, tag=True):
    # Compilers are slow, and most requests prepare the model again if it was released. On one core
    # without AMX a step of BERT's published shape takes minutes, and its warm-up has three.
    seconds_to_answer: ClassVar[float] = 1800.0


class Prepare(_Request, frozen=True, tag=True):
    """Build, prepare and warm up the case's model."""

    case: RunCase
    inputs: Inputs = Inputs()


class TakeSlice(_Request, frozen=True, tag=True):
    """Time ``iterations`` consecutive steps."""

    iterations: Count


class StampSteps(_Request, frozen=True, tag=True):
    """Step until ``seconds`` are over and ``steps`` are done; send the array ``nanoseconds``."""

    seconds: Duration
    steps: Count


class Outputs(_Request, frozen=True, tag=True):
    """Send the array ``logits``; inference only."""


class Losses(_Request, frozen=True, tag=True):
    """Send the array ``losses`` of the first training steps."""

    steps: Count
    batch: Count


class Gradients(_Request, frozen=True, tag=True):
    """Send the gradients of the first training step as arrays by parameter name."""

    batch: Count


class Prove(_Request, frozen=True, tag=True):
    """Take the evidence of one untimed step."""


class Checkpoint(_Request, frozen=True, tag=True):
    """Write model and optimizer state to ``path``; training only."""

    path: str


class Operate(_Request, frozen=True, tag=True):
    """Run an operator once on the request's arrays; answered by ``Operated``."""

    isa: Isa
    engine: str
    cores: Count
    operator: str
    precision: Precision
    settings: dict[str, int]


class Release(_Request, frozen=True, tag=True):
    """Free the prepared model."""


class Prepared(Reply, frozen=True, tag=True):
    """The model is ready.

    ``iterations`` steps fill a slice; the FP64 reference is never timed and has 0.
    ``operations_per_step`` counts the multiplications and additions of a step's matrix products,
    ``versions`` maps package to version.
    """

    iterations: Natural
    items_per_step: Count
    operations_per_step: Natural
    unit: str
    data: str
    peak_bytes: Natural
    versions: dict[str, str]


class SliceTaken(Reply, frozen=True, tag=True):
    """``iterations`` steps took ``seconds`` by the child's monotonic clock."""

    seconds: Seconds
    iterations: Count


class Proof(Reply, frozen=True, tag=True):
    """What provably ran, and the child's peak resident bytes."""

    evidence: Evidence
    peak_bytes: Natural


class Operated(Reply, frozen=True, tag=True):
    """The array ``output`` comes with this reply.

    ``kernels`` are those in the logs of that one forward pass; without AMX in the ceiling no log is
    taken.
    """

    kernels: tuple[KernelUse, ...] = ()


class Done(Reply, frozen=True, tag=True):
    """The request was carried out; its arrays, if it has any, come with this reply."""


ArmRequest = (
    Prepare
    | TakeSlice
    | StampSteps
    | Outputs
    | Losses
    | Gradients
    | Prove
    | Checkpoint
    | Operate
    | Release
)


class IsaWorker(Child):
    """A child under one ISA ceiling, with one compute thread for each of its CPUs.

    Without AMX in its ceiling the child is jailed: the kernel refuses it the tile permission. If a
    jailed child then dies of SIGILL, the request raises CeilingIgnoredError. ``module`` has the
    functions ``jailed`` and ``free`` that make the handler. ``python`` is the interpreter whose
    packages are measured, by default this one.
    """

    def __init__(
        self,
        isa: Isa,
        engine: str,
        *,
        cpus: tuple[int, ...],
        label: str = "",
        module: str = "amx_suite.worker.handler",
        python: Interpreter | None = None,
    ) -> None:
        self._isa, self._engine, self._cores = isa, engine, len(cpus)
        ceiling = isa.on(read_cpuinfo().flags)
        with installed_in(python.packages if python else None):
            of_engine = ENGINES[engine].variables(ceiling)
        self.environment = child_environment(ceiling, len(cpus), os.environ, of_engine)
        super().__init__(
            f"{module}:{'free' if isa.allows_amx else 'jailed'}",
            label=label or f"{engine}@{isa}",
            cpus=cpus,
            environment=self.environment.variables,
            python=python,
        )

    def _died(self) -> LostChildError:
        lost = super()._died()
        if self._isa.allows_amx or lost.signal != signal.SIGILL:
            return lost
        return CeilingIgnoredError(
            self.label,
            f"{lost.what}: it executed an instruction that the kernel refuses, so a library "
            "ignores its ceiling and used AMX",
            lost.stderr_tail,
            signal=lost.signal,
        )

    def prepare(self, case: RunCase, inputs: Inputs) -> Prepared:
        """Build, prepare and warm up the case's model."""
        prepared = self.ask(Prepare(case, inputs), Prepared)
        if not prepared.iterations and case.precision is not Precision.FP64:
            raise self.disbelieve("a slice of 0 steps")
        return prepared

    def take_slice(self, iterations: int) -> SliceTaken:
        """Time consecutive steps; meanwhile this process only waits."""
        began = time.perf_counter()
        taken = self.ask(TakeSlice(iterations), SliceTaken)
        waited = time.perf_counter() - began
        if taken.iterations != iterations or taken.seconds > waited:
            raise self.disbelieve(
                f"{taken.iterations} steps in {taken.seconds:g} s, when {iterations} were asked "
                f"for and {waited:g} s passed"
            )
        return taken

    def stamp_steps(self, *, seconds: float = 0.0, steps: int = 1) -> Any:
        """Step until ``seconds`` are over and ``steps`` are done.

        Returns the time at the start and after each step, in seconds of the monotonic clock, which
        all processes share; shape [steps done + 1].
        """
        request = StampSteps(seconds, steps)
        limit = seconds + steps * _MOST_STEP_SECONDS + request.seconds_to_answer
        began = time.perf_counter_ns()
        stamps = self._array(self.exchange(request, Done, seconds=limit)[1], "nanoseconds", "i")
        ended = time.perf_counter_ns()
        times = [began, *stamps.ravel().tolist(), ended]
        rising = all(before < after for before, after in itertools.pairwise(times))
        if stamps.ndim != 1 or len(stamps) <= steps or not rising:
            raise self.disbelieve(
                f"stamps {reprlib.repr(stamps.tolist())} ns of shape {stamps.shape}, when {steps} "
                f"steps or more were asked for and the clock went from {began} to {ended} ns"
            )
        return stamps * 1e-9

    def prove(self) -> Proof:
        """Run one untimed step with the kernel log on, and read the permission back."""
        return self.ask(Prove(), Proof)

    def outputs(self) -> Any:
        """The prepared inference model's logits, shape [batch, ...]."""
        return self._array(self._arrays(Outputs()), "logits")

    def losses(self, *, steps: int, batch: int) -> Any:
        """Losses of the first training steps, seeded, without dropout; shape [steps]."""
        losses = self._array(self._arrays(Losses(steps, batch)), "losses")
        if losses.shape != (steps,):
            raise self.disbelieve(f"losses of shape {losses.shape} for {steps} steps")
        return losses

    def gradients(self, *, batch: int) -> ArrayMap:
        """Gradients of the first training step, seeded, without dropout, by parameter name."""
        gradients = self._arrays(Gradients(batch))
        if not gradients:
            raise self.disbelieve("no parameter has a gradient")
        return {name: self._array(gradients, name) for name in gradients}

    def checkpoint(self, path: str) -> None:
        """Write model and optimizer state to ``path``, atomically."""
        self._arrays(Checkpoint(path))

    def release(self) -> None:
        """Free the prepared model; a later request prepares it again.

        This frees most of a training arm's memory. TorchScript keeps what it traced for inference.
        """
        self._arrays(Release())

    def operate(
        self, operator: str, precision: Precision, arrays: ArrayMap, **settings: int
    ) -> Any:
        """Run one operator of ``workloads.operators`` on the arrays; returns its output."""
        return self.prove_operator(operator, precision, arrays, **settings)[0]

    def prove_operator(
        self, operator: str, precision: Precision, arrays: ArrayMap, **settings: int
    ) -> tuple[Any, tuple[KernelUse, ...]]:
        """As ``operate``; returns the output and the kernels that the logs hold.

        Without AMX in its ceiling the worker takes no log: its jail proves what did not run.
        """
        request = Operate(self._isa, self._engine, self._cores, operator, precision, settings)
        reply, sent = self.exchange(request, Operated, arrays)
        return self._array(sent, "output"), reply.kernels

    def _arrays(self, request: ArmRequest) -> ArrayMap:
        return self.exchange(request, Done)[1]

    def _array(self, arrays: ArrayMap, name: str, kind: str = "f") -> Any:
        """The array of that name, of numpy's ``kind`` of numbers.

        What the numbers are is for the accuracy checks to judge: a NaN may be what a kernel gave.
        """
        found = arrays.get(name)
        if found is None or found.dtype.kind != kind:
            what = "nothing" if found is None else f"numbers of type {found.dtype}"
            raise self.disbelieve(f"{what} for the array '{name}'")
        return found


class ChildEnvironment(msgspec.Struct, frozen=True):
    """A child's variables.

    ``variables`` are all of them, ``chosen`` those that the case set, and ``removed`` the user's
    own values of owned variables, for the record.
    """

    variables: dict[str, str]
    chosen: dict[str, str]
    removed: dict[str, str]


def child_environment(
    isa: Isa, threads: int, inherited: Mapping[str, str], engine: Mapping[str, str]
) -> ChildEnvironment:
    """The environment of a child under a ceiling with this number of compute threads.

    Each library reads the ceiling from a variable of its own; ``engine`` holds those of the
    engine's libraries.
    """
    spec = isa.spec
    chosen = {
        "ONEDNN_MAX_CPU_ISA": spec.onednn,
        "MKL_ENABLE_INSTRUCTIONS": spec.mkl,
        # Any other mode lets FP32 products run as BF16.
        "ONEDNN_DEFAULT_FPMATH_MODE": "STRICT",
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        # Between two parallel regions a thread may spin, for less than a millisecond: then a step
        # is faster, and the next arm is not slower (docs/measured.md). libgomp takes the count
        # before the policy, other runtimes know only the policy.
        "GOMP_SPINCOUNT": "10000",
        "OMP_WAIT_POLICY": "PASSIVE",
        "KMP_BLOCKTIME": "0",
        # With more, importing PyTorch's quantization starts compile processes beside every arm.
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
        # Packages for other devices load themselves with PyTorch; a broken one would end every arm.
        "TORCH_DEVICE_BACKEND_AUTOLOAD": "0",
        **engine,
    }
    owned = {name for name in inherited if name in _OWNED_NAMES or name.startswith(_OWNED_PREFIXES)}
    kept = {name: value for name, value in inherited.items() if name not in owned}
    removed = {name: inherited[name] for name in sorted(owned)}
    return ChildEnvironment({**kept, **chosen}, chosen, removed)
