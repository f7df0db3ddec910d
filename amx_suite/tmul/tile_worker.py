"""The parent's handle of a child that runs tile instructions on one CPU."""

from __future__ import annotations

__all__ = ["TileWorker"]

from amx_suite.child.handle import Child
from amx_suite.tmul.batch import BatchResult, SoakSlice, TileBatch
from amx_suite.tmul.bench import (
    SECONDS_FOR_A_BATCH,
    CheckTiles,
    RerunTile,
    SoakTiles,
    TilesChecked,
    TilesSoaked,
)


class TileWorker(Child):
    """A child that is bound to one CPU and may use tiles.

    ``handler`` is another one where tiles are emulated.
    """

    def __init__(self, cpu: int, handler: str = "amx_suite.tmul.bench:TileBench") -> None:
        super().__init__(handler, label="tile worker", cpus=(cpu,))

    def check_tiles(self, batch: TileBatch) -> BatchResult:
        """Run a batch of tile multiplications and compare it with the oracle."""
        return self.ask(CheckTiles(batch), TilesChecked).result

    def rerun_tile(self, result: BatchResult) -> BatchResult:
        """Run the tile of a stored mismatch again."""
        return self.ask(RerunTile(result), TilesChecked).result

    def soak_tiles(self, batch: TileBatch, seconds: float) -> SoakSlice:
        """Repeat a batch for that long."""
        limit = SECONDS_FOR_A_BATCH + seconds
        return self.ask(SoakTiles(batch, seconds), TilesSoaked, seconds=limit).piece
