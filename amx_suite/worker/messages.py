"""The requests to an arm's child, and its replies."""

from __future__ import annotations

__all__ = [
    "ArmRequest",
    "Checkpoint",
    "Done",
    "Gradients",
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

from amx_suite.child.channel import Reply, Request
from amx_suite.core.case import RunCase
from amx_suite.core.evidence import Evidence
from amx_suite.core.isa import Isa
from amx_suite.core.precision import Precision
from amx_suite.core.units import Count, Natural, Seconds
from amx_suite.workloads.base import Inputs


class _Request(Request, frozen=True, tag=True):
    # Compilers are slow, and most requests prepare the model again if it was released.
    seconds_to_answer: ClassVar[float] = 900.0


class Prepare(_Request, frozen=True, tag=True):
    """Build and prepare the case's model, then warm it up."""

    case: RunCase
    inputs: Inputs = Inputs()


class TakeSlice(_Request, frozen=True, tag=True):
    """Time ``iterations`` consecutive steps."""

    iterations: Count


class Outputs(_Request, frozen=True, tag=True):
    """Send array ``logits`` of the first batch; inference only."""


class Losses(_Request, frozen=True, tag=True):
    """Train from the seeded start with dropout off; send array ``losses``, shape [steps]."""

    steps: Count
    batch: Count


class Gradients(_Request, frozen=True, tag=True):
    """Send the gradients of the first training step, dropout off, by parameter name."""

    batch: Count


class Prove(_Request, frozen=True, tag=True):
    """Run one untimed step with the kernel log on and read the permission back."""


class Checkpoint(_Request, frozen=True, tag=True):
    """Write model and optimizer state to ``path``, atomically; training only."""

    path: str


class Operate(_Request, frozen=True, tag=True):
    """Run one operator of ``workloads.operators``, prepared by the engine.

    The operator's inputs, by name, are the request's arrays; the reply has array ``output``.
    """

    isa: Isa
    engine: str
    threads: Count
    operator: str
    precision: Precision
    settings: dict[str, int]


class Release(_Request, frozen=True, tag=True):
    """Free the prepared model; a later request prepares it again.

    This frees most of a training arm's memory. TorchScript keeps what it traced for inference.
    """


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


class Done(Reply, frozen=True, tag=True):
    """The request was carried out; its arrays, if it has any, come with this reply."""


ArmRequest = (
    Prepare | TakeSlice | Outputs | Losses | Gradients | Prove | Checkpoint | Operate | Release
)
