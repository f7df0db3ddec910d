"""A child that runs tile instructions on one CPU: its messages, its handler, its parent's side."""

from __future__ import annotations

__all__ = ["RerunTile", "RunTiles", "TileBench", "TileWorker", "TilesRan"]

from typing import TYPE_CHECKING, Any, ClassVar

from amx_suite.child.channel import ArrayMap, Reply, Request
from amx_suite.child.handle import Child
from amx_suite.errors import NotApplicableError, UsageError
from amx_suite.tmul.batch import BatchResult, SoakSlice, TileBatch
from amx_suite.tmul.xcomp import errno_name, request_tiles

if TYPE_CHECKING:
    from amx_suite.tmul.exactness import BatchCheck

#: For the operands, the oracle and one run of a batch.
_SECONDS_FOR_A_BATCH = 600.0


class RunTiles(Request, frozen=True, tag=True):
    """Repeat a batch for ``seconds``, at least once, and compare every element with the oracle."""

    batch: TileBatch
    seconds: float = 0.0


class RerunTile(Request, frozen=True, tag=True):
    """Run the tile of a stored mismatch again, from its stored operands."""

    result: BatchResult


class TilesRan(Reply, frozen=True, tag=True):
    """The result of the runs."""

    piece: SoakSlice


class TileBench:
    """Handles the requests of a ``TileWorker``. Keeps the last batch, to repeat it quickly."""

    requests: ClassVar[Any] = RunTiles | RerunTile

    def __init__(self) -> None:
        self._check: BatchCheck | None = None
        self._permitted = False

    def handle(self, request: RunTiles | RerunTile, arrays: ArrayMap) -> tuple[TilesRan, ArrayMap]:
        """Run on the CPU that the child is bound to.

        Raises NotApplicableError if the kernel refuses the tile permission, UsageError for a batch
        that cannot be run.
        """
        from amx_suite.tmul.exactness import BatchCheck, stored_operands

        self._require_permission()
        try:
            match request:
                case RunTiles(batch, seconds):
                    if self._check is None or self._check.batch != batch:
                        self._check = BatchCheck(batch)
                    return TilesRan(self._check.run_for(seconds)), {}
                case RerunTile(result):
                    return TilesRan(BatchCheck(*stored_operands(result)).run_for(0.0)), {}
        except (KeyError, ValueError) as error:
            raise UsageError(f"this batch of tiles cannot be run: {error}") from error

    def _require_permission(self) -> None:
        if self._permitted:
            return
        reply = request_tiles()
        if reply.value is None:
            raise NotApplicableError(
                f"the kernel refused the tile permission: {errno_name(reply.errno)}"
            )
        self._permitted = True


class TileWorker(Child):
    """A child that is bound to one CPU and may use tiles; ``handler`` replaces ``TileBench``."""

    def __init__(self, cpu: int, handler: str = "amx_suite.tmul.tile_worker:TileBench") -> None:
        super().__init__(handler, label=f"tile worker on CPU {cpu}", cpus=(cpu,))

    def check_tiles(self, batch: TileBatch) -> BatchResult:
        """Run a batch of tile multiplications and compare it with the oracle."""
        return self.soak_tiles(batch, 0.0).result

    def rerun_tile(self, result: BatchResult) -> BatchResult:
        """Run the tile of a stored mismatch again."""
        return self.ask(RerunTile(result), TilesRan).piece.result

    def soak_tiles(self, batch: TileBatch, seconds: float) -> SoakSlice:
        """Repeat a batch for that long."""
        limit = _SECONDS_FOR_A_BATCH + seconds
        return self.ask(RunTiles(batch, seconds), TilesRan, seconds=limit).piece
