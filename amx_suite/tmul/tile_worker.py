"""The parent's side of a child that runs tile instructions on one CPU."""

from __future__ import annotations

__all__ = ["TileWorker"]

import msgspec

from amx_suite.child.handle import Child
from amx_suite.errors import UsageError
from amx_suite.tmul.batch import BatchResult, RunTiles, SoakSlice, TileBatch

#: For the operands, the oracle and one run of a batch.
_SECONDS_FOR_A_BATCH = 600.0


class TileWorker(Child):
    """A child that is bound to one CPU and may use tiles; ``handler`` replaces ``TileBench``.

    Its methods raise NotApplicableError if the kernel refuses the tile permission, and UsageError
    for a batch that cannot be run.
    """

    def __init__(self, cpu: int, handler: str = "amx_suite.tmul.exactness:TileBench") -> None:
        super().__init__(handler, label=f"tile worker on CPU {cpu}", cpus=(cpu,))

    def check_tiles(self, batch: TileBatch) -> BatchResult:
        """Run a batch of tile multiplications and compare it with the oracle."""
        return self.soak_tiles(batch, 0.0).result

    def rerun_tile(self, result: BatchResult) -> BatchResult:
        """Run the tile of a stored mismatch again, from its stored operands."""
        if result.first is None:
            raise UsageError("this result has no mismatch: there is nothing to run again")
        batch = msgspec.structs.replace(result.batch, tiles=1)
        return self._run(RunTiles(batch, stored=result.first)).result

    def soak_tiles(self, batch: TileBatch, seconds: float) -> SoakSlice:
        """Repeat a batch for that long."""
        return self._run(RunTiles(batch, seconds))

    def _run(self, request: RunTiles) -> SoakSlice:
        return self.ask(request, SoakSlice, seconds=_SECONDS_FOR_A_BATCH + request.seconds)
