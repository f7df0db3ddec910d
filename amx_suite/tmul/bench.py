"""The child's side of a ``TileWorker``: batches checked against the oracle, and soaks."""

from __future__ import annotations

__all__ = [
    "SECONDS_FOR_A_BATCH",
    "CheckTiles",
    "RerunTile",
    "SoakTiles",
    "TileBench",
    "TilesChecked",
    "TilesSoaked",
]

from typing import TYPE_CHECKING, Any, ClassVar

from amx_suite.child.channel import ArrayMap
from amx_suite.child.messages import Reply, Request
from amx_suite.errors import NotApplicableError, UsageError
from amx_suite.tmul.batch import BatchResult, SoakSlice, TileBatch
from amx_suite.tmul.xcomp import errno_name, request_tiles

if TYPE_CHECKING:
    from amx_suite.tmul.soak import Soak

SECONDS_FOR_A_BATCH = 600.0


class CheckTiles(Request, frozen=True, tag=True):
    """Run a batch of tile multiplications and compare every element with the oracle."""

    seconds_to_answer: ClassVar[float] = SECONDS_FOR_A_BATCH

    batch: TileBatch


class RerunTile(Request, frozen=True, tag=True):
    """Run the tile of a stored mismatch again, from its stored operands."""

    seconds_to_answer: ClassVar[float] = SECONDS_FOR_A_BATCH

    result: BatchResult


class SoakTiles(Request, frozen=True, tag=True):
    """Repeat a batch for ``seconds``, comparing each result."""

    batch: TileBatch
    seconds: float


class TilesChecked(Reply, frozen=True, tag=True):
    """What came of a batch of tiles."""

    result: BatchResult


class TilesSoaked(Reply, frozen=True, tag=True):
    """What came of a soak."""

    piece: SoakSlice


class TileBench:
    """Handles the requests of a ``TileWorker``. Holds at most one soak.

    Raises NotApplicableError if the kernel refuses the tile permission.
    """

    requests: ClassVar[Any] = CheckTiles | RerunTile | SoakTiles

    def __init__(self) -> None:
        self._soak: Soak | None = None
        self._permitted = False

    def handle(
        self, request: CheckTiles | RerunTile | SoakTiles, arrays: ArrayMap
    ) -> tuple[Reply, ArrayMap]:
        """Run what is asked on the CPU that the child is bound to."""
        self._require_permission()
        match request:
            case CheckTiles(batch):
                return TilesChecked(self._check(batch)), {}
            case RerunTile(result):
                return TilesChecked(self._rerun(result)), {}
            case SoakTiles(batch, seconds):
                return TilesSoaked(self._soak_for(batch, seconds)), {}

    def _require_permission(self) -> None:
        if self._permitted:
            return
        reply = request_tiles()
        if reply.value is None:
            raise NotApplicableError(
                f"the kernel refused the tile permission: {errno_name(reply.errno)}"
            )
        self._permitted = True

    def _check(self, batch: TileBatch) -> BatchResult:
        from amx_suite.tmul.conformance import check_batch
        from amx_suite.tmul.execute import execute

        try:
            return check_batch(batch, execute)
        except (KeyError, ValueError) as error:
            raise UsageError(f"no such batch of tiles: {error}") from error

    def _rerun(self, result: BatchResult) -> BatchResult:
        from amx_suite.tmul.conformance import rerun
        from amx_suite.tmul.execute import execute

        try:
            return rerun(result, execute)
        except (KeyError, ValueError) as error:
            raise UsageError(f"this result cannot be run again: {error}") from error

    def _soak_for(self, batch: TileBatch, seconds: float) -> SoakSlice:
        """Going on with the same batch costs no preparation."""
        from amx_suite.tmul.soak import Soak

        if self._soak is None or self._soak.batch != batch:
            self._soak = Soak(batch)
        return self._soak.run_for(seconds)
