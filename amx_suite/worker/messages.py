"""The words that parent and child exchange. Arrays travel beside a message, never inside it."""

from __future__ import annotations

__all__ = [
    "Arrays",
    "CheckTiles",
    "Checkpoint",
    "Close",
    "Done",
    "Failed",
    "FailureKind",
    "Gradients",
    "Hello",
    "Launch",
    "Losses",
    "MeasurePeaks",
    "Operate",
    "Outputs",
    "PeaksMeasured",
    "Prepare",
    "Prepared",
    "Probe",
    "Probed",
    "Proof",
    "Prove",
    "Release",
    "Reply",
    "Request",
    "RerunTile",
    "SliceTaken",
    "SoakTiles",
    "TakeSlice",
    "TilesChecked",
    "TilesSoaked",
]

from enum import StrEnum

import msgspec

from amx_suite.core.case import Precision, RunCase
from amx_suite.core.evidence import Evidence, Jail
from amx_suite.core.isa import Isa
from amx_suite.core.noise import Reading
from amx_suite.core.peaks import Peaks
from amx_suite.core.roofline import Product
from amx_suite.tmul.batch import BatchResult, SoakSlice, TileBatch
from amx_suite.workloads.base import Inputs

#: What an arm's turn is meant to take: long beside a step's jitter, short beside the time for
#: which a neighbour stays or is away.
SLICE_SECONDS = 0.3


class Launch(msgspec.Struct, frozen=True, tag=True):
    """The first message: under which ceiling the child stands, and for which engine."""

    isa: Isa
    engine: str
    threads: int
    cpus: tuple[int, ...]


class Prepare(msgspec.Struct, frozen=True, tag=True):
    """Build and prepare the case's model, then warm up until a step's time is known.

    A slice will then be as many steps as fill ``slice_seconds``, at least one. ``slowdown`` is for
    the suite's proof of itself: each timed step is followed by idle spinning for that share of its
    own time, so that the arm is slower by a known amount.
    """

    case: RunCase
    inputs: Inputs = Inputs()
    slice_seconds: float = SLICE_SECONDS
    slowdown: float = 0.0


class TakeSlice(msgspec.Struct, frozen=True, tag=True):
    """Time ``iterations`` consecutive steps."""

    iterations: int


class Outputs(msgspec.Struct, frozen=True, tag=True):
    """The prepared inference model's logits for its first batch: array ``logits``."""


class Losses(msgspec.Struct, frozen=True, tag=True):
    """Train from the seeded start, dropout off, for ``steps`` steps: array ``losses`` [steps]."""

    steps: int
    batch: int


class Gradients(msgspec.Struct, frozen=True, tag=True):
    """Gradients of the first step from the seeded start, dropout off, by parameter name."""

    batch: int


class Prove(msgspec.Struct, frozen=True, tag=True):
    """Run one untimed step with the kernel log on and read the permission back."""


class Checkpoint(msgspec.Struct, frozen=True, tag=True):
    """Write model and optimizer state to ``path``, atomically."""

    path: str


class Operate(msgspec.Struct, frozen=True, tag=True):
    """Run one operator of ``workloads.operators`` under this child's ceiling and engine.

    The arrays of the request are the operator's inputs by name; the reply's arrays are ``output``.
    """

    operator: str
    precision: Precision
    settings: dict[str, int] = {}


class Release(msgspec.Struct, frozen=True, tag=True):
    """Free the prepared model; whatever needs it next prepares it anew.

    Of a training arm that is most of its memory; TorchScript keeps what was traced for inference.
    """


class Probe(msgspec.Struct, frozen=True, tag=True):
    """Read how fast each unit is now on every CPU of this child; nothing need be prepared."""


class MeasurePeaks(msgspec.Struct, frozen=True, tag=True):
    """Read the most that each unit gives on the child's CPUs, ``readings`` times."""

    readings: int


class CheckTiles(msgspec.Struct, frozen=True, tag=True):
    """Run a batch of tile multiplications and compare every element with the oracle."""

    batch: TileBatch


class SoakTiles(msgspec.Struct, frozen=True, tag=True):
    """Repeat a batch for ``seconds``, comparing each result."""

    batch: TileBatch
    seconds: float


class RerunTile(msgspec.Struct, frozen=True, tag=True):
    """Run the tile of a stored mismatch again, from its stored operands."""

    result: BatchResult


class Close(msgspec.Struct, frozen=True, tag=True):
    """End in good order."""


Request = (
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
    | Probe
    | MeasurePeaks
    | CheckTiles
    | SoakTiles
    | RerunTile
    | Close
)


class Hello(msgspec.Struct, frozen=True, tag=True):
    """The child stands under its ceiling; nothing but the standard library is imported yet."""

    pid: int
    jail: Jail


class Prepared(msgspec.Struct, frozen=True, tag=True):
    """The model is ready.

    ``iterations`` steps fill a slice, ``products`` are the matrix products of one step, and
    ``versions`` the packages used.
    """

    iterations: int
    step_seconds: float
    items_per_step: int
    products: tuple[Product, ...]
    unit: str
    data: str
    peak_bytes: int
    versions: dict[str, str]


class SliceTaken(msgspec.Struct, frozen=True, tag=True):
    """``iterations`` steps took ``seconds`` by the child's monotonic clock."""

    seconds: float
    iterations: int


class Arrays(msgspec.Struct, frozen=True, tag=True):
    """Named arrays came beside this message."""


class Proof(msgspec.Struct, frozen=True, tag=True):
    """What provably ran, and the child's peak resident bytes."""

    evidence: Evidence
    peak_bytes: int


class Probed(msgspec.Struct, frozen=True, tag=True):
    """The reading that was asked for."""

    reading: Reading


class PeaksMeasured(msgspec.Struct, frozen=True, tag=True):
    """What the units gave."""

    peaks: Peaks


class TilesChecked(msgspec.Struct, frozen=True, tag=True):
    """What came of a batch of tiles."""

    result: BatchResult


class TilesSoaked(msgspec.Struct, frozen=True, tag=True):
    """What came of a soak."""

    piece: SoakSlice


class Done(msgspec.Struct, frozen=True, tag=True):
    """The request was carried out and has no result."""


class FailureKind(StrEnum):
    """Why a request failed."""

    ERROR = "error"
    MEMORY = "memory"
    NOT_APPLICABLE = "not applicable"
    UNAVAILABLE = "unavailable"
    USAGE = "usage"


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The request raised; the child lives on."""

    kind: FailureKind
    message: str
    traceback: str = ""


Reply = (
    Hello
    | Prepared
    | SliceTaken
    | Arrays
    | Proof
    | Probed
    | PeaksMeasured
    | TilesChecked
    | TilesSoaked
    | Done
    | Failed
)
