"""What an arm's worker is asked, and what it answers."""

from __future__ import annotations

__all__ = [
    "ArmRequest",
    "Arrays",
    "Checkpoint",
    "Done",
    "Gradients",
    "Launch",
    "Launched",
    "Losses",
    "Operate",
    "Outputs",
    "Prepare",
    "Prepared",
    "Proof",
    "Prove",
    "Release",
    "SliceTaken",
    "TakeSlice",
]

from typing import ClassVar

from amx_suite.child.messages import Reply, Request
from amx_suite.core.case import Precision, RunCase
from amx_suite.core.evidence import Evidence, Jail
from amx_suite.core.isa import Isa
from amx_suite.core.numbers import Count, Duration, Natural, Seconds
from amx_suite.core.roofline import Product
from amx_suite.workloads.base import Inputs

#: What an arm's turn is meant to take: long beside a step's jitter, short beside the time for
#: which a neighbour stays or is away.
SLICE_SECONDS = 0.3

#: Far more than any step, or the preparation of a model anew.
_SECONDS_FOR_STEPS = 600.0


class Launch(Request, frozen=True, tag=True):
    """The first request: under which ceiling the child stands, and for which engine."""

    isa: Isa
    engine: str
    threads: Count


class Prepare(Request, frozen=True, tag=True):
    """Build and prepare the case's model, then warm up until a step's time is known.

    A slice will then be as many steps as fill ``slice_seconds``, at least one. ``slowdown`` is for
    the suite's proof of itself: each timed step is followed by idle spinning for that share of its
    own time, so that the arm is slower by a known amount.
    """

    # Compilers are slow.
    seconds_to_answer: ClassVar[float] = 900.0

    case: RunCase
    inputs: Inputs = Inputs()
    slice_seconds: float = SLICE_SECONDS
    slowdown: float = 0.0


class TakeSlice(Request, frozen=True, tag=True):
    """Time ``iterations`` consecutive steps."""

    seconds_to_answer: ClassVar[float] = _SECONDS_FOR_STEPS

    iterations: Count


class Outputs(Request, frozen=True, tag=True):
    """The prepared inference model's logits for its first batch: array ``logits``."""

    seconds_to_answer: ClassVar[float] = _SECONDS_FOR_STEPS


class Losses(Request, frozen=True, tag=True):
    """Train from the seeded start, dropout off, for ``steps`` steps: array ``losses`` [steps]."""

    seconds_to_answer: ClassVar[float] = _SECONDS_FOR_STEPS

    steps: int
    batch: int


class Gradients(Request, frozen=True, tag=True):
    """Gradients of the first step from the seeded start, dropout off, by parameter name."""

    seconds_to_answer: ClassVar[float] = _SECONDS_FOR_STEPS

    batch: int


class Prove(Request, frozen=True, tag=True):
    """Run one untimed step with the kernel log on and read the permission back."""

    seconds_to_answer: ClassVar[float] = _SECONDS_FOR_STEPS


class Checkpoint(Request, frozen=True, tag=True):
    """Write model and optimizer state to ``path``, atomically."""

    seconds_to_answer: ClassVar[float] = _SECONDS_FOR_STEPS

    path: str


class Operate(Request, frozen=True, tag=True):
    """Run one operator of ``workloads.operators`` under this child's ceiling and engine.

    The arrays of the request are the operator's inputs by name; the reply's arrays are ``output``.
    """

    seconds_to_answer: ClassVar[float] = _SECONDS_FOR_STEPS

    operator: str
    precision: Precision
    settings: dict[str, int] = {}


class Release(Request, frozen=True, tag=True):
    """Free the prepared model; whatever needs it next prepares it anew.

    Of a training arm that is most of its memory; TorchScript keeps what was traced for inference.
    """

    seconds_to_answer: ClassVar[float] = _SECONDS_FOR_STEPS


class Launched(Reply, frozen=True, tag=True):
    """The child stands under its ceiling; no library is imported yet."""

    jail: Jail


class Prepared(Reply, frozen=True, tag=True):
    """The model is ready.

    ``iterations`` steps fill a slice, ``products`` are the matrix products of one step, and
    ``versions`` the packages used. What is never timed, the arbiter, has no iterations.
    """

    iterations: Natural
    step_seconds: Duration
    items_per_step: Count
    products: tuple[Product, ...]
    unit: str
    data: str
    peak_bytes: Natural
    versions: dict[str, str]


class SliceTaken(Reply, frozen=True, tag=True):
    """``iterations`` steps took ``seconds`` by the child's monotonic clock."""

    seconds: Seconds
    iterations: Count


class Arrays(Reply, frozen=True, tag=True):
    """Named arrays came beside this message."""


class Proof(Reply, frozen=True, tag=True):
    """What provably ran, and the child's peak resident bytes."""

    evidence: Evidence
    peak_bytes: Natural


class Done(Reply, frozen=True, tag=True):
    """The request was carried out and has no result."""


ArmRequest = (
    Launch
    | Prepare
    | TakeSlice
    | Outputs
    | Losses
    | Gradients
    | Prove
    | Checkpoint
    | Operate
    | Release
)
