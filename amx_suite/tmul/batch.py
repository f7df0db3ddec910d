"""Batches of tile multiplications as values that can be made again, and the child that runs them.

No numpy here, because the parent needs these too.
"""

from __future__ import annotations

__all__ = ["BatchResult", "Load", "Mismatch", "RunTiles", "SoakSlice", "TileBatch", "TileWorker"]

from enum import StrEnum
from typing import Annotated

import msgspec
from msgspec import Meta

from amx_suite.child.channel import Reply, Request
from amx_suite.child.handle import Child
from amx_suite.core.units import Count, Duration, Natural, Seconds
from amx_suite.errors import UsageError
from amx_suite.tmul.config import TILES

#: For the operands, the oracle and one run of a batch.
_SECONDS_FOR_A_BATCH = 600.0

_RowBytes = Annotated[int, Meta(ge=4, le=64, multiple_of=4)]


class Load(StrEnum):
    """The instruction that loads tiles; T1 hints that the data will not be used again soon."""

    TILELOADD = "tileloadd"
    TILELOADDT1 = "tileloaddt1"


class TileBatch(msgspec.Struct, frozen=True):
    """``tiles`` multiplications ``C += A x B`` of one shape, each a chain of ``steps``.

    A has ``rows`` rows of ``k_bytes``, B has ``k_bytes / 4`` rows of ``n_bytes``, C has ``rows``
    rows of ``n_bytes``; 1 to 16 rows of 4 to 64 bytes, in multiples of 4. ``fill`` and ``seed``
    determine the operands. In a chain C stays in its register while each step loads another A and
    B. C, A and B lie in tile registers ``first_register`` and the two after it, 0 coming after 7.
    ``padding`` is the bytes between one row and the next in memory, ``misalignment`` the bytes
    by which every tile starts off a cache line. ``mxcsr`` is set while the instructions run, since
    they must ignore it; None leaves it alone.
    """

    instruction: str
    fill: str
    seed: Natural
    tiles: Count
    rows: Annotated[int, Meta(ge=1, le=16)] = 16
    k_bytes: _RowBytes = 64
    n_bytes: _RowBytes = 64
    steps: Count = 1
    first_register: Annotated[int, Meta(ge=0, lt=TILES)] = 0
    load: Load = Load.TILELOADD
    padding: Natural = 0
    misalignment: Natural = 0
    mxcsr: Annotated[int, Meta(ge=0, lt=2**16)] | None = None

    @property
    def registers(self) -> tuple[int, int, int]:
        """Numbers of the tile registers of C, A and B."""
        first = self.first_register
        return (first % TILES, (first + 1) % TILES, (first + 2) % TILES)

    @property
    def elements(self) -> int:
        """Elements of C that are compared."""
        return self.tiles * self.rows * (self.n_bytes // 4)


class Mismatch(msgspec.Struct, frozen=True):
    """One wrong element, its bits as found and as expected, and the operands of its tile.

    ``a`` and ``b`` hold the tiles of every step one after the other, row by row, ``c`` the tile
    that the chain began with, so that it can be run again even if the fills have changed.
    """

    tile: Natural
    row: Natural
    column: Natural
    found: Natural
    expected: Natural
    a: bytes
    b: bytes
    c: bytes


class BatchResult(msgspec.Struct, frozen=True):
    """How many elements of a batch were compared on a CPU, how many were wrong, and the first.

    ``stray`` counts bytes outside the tiles' rows that a store overwrote.
    """

    batch: TileBatch
    cpu: Natural
    elements: Natural
    wrong: Natural
    first: Mismatch | None = None
    stray: Natural = 0

    @property
    def is_exact(self) -> bool:
        """Whether every element is right and nothing else was overwritten."""
        return not self.wrong and not self.stray

    def __str__(self) -> str:
        batch = self.batch
        text = f"CPU {self.cpu}: {batch.instruction} on {batch.fill}: {self.wrong} of "
        text += f"{self.elements} elements differ"
        if self.first is not None:
            text += (
                f"; first: C[{self.first.row}][{self.first.column}] of tile {self.first.tile} is "
                f"{self.first.found:#010x}, expected {self.first.expected:#010x}"
            )
        if self.stray:
            text += f"; {self.stray} bytes beyond the rows were overwritten"
        return text


class RunTiles(Request, frozen=True, tag=True):
    """Repeat a batch for ``seconds``, at least once, and compare every element with the oracle.

    With ``stored`` the batch is the one tile of that mismatch, with its stored operands.
    """

    batch: TileBatch
    seconds: Duration = 0.0
    stored: Mismatch | None = None


class SoakSlice(Reply, frozen=True, tag=True):
    """The result of repeating a batch on one CPU.

    ``runs`` of the batch took ``busy_seconds`` of tile work; ``result`` is that of the first run
    that was not exact, else of the last.
    """

    result: BatchResult
    runs: Count
    busy_seconds: Seconds

    @property
    def tiles_per_second(self) -> float:
        """Tile multiplications a second, loads and stores included."""
        batch = self.result.batch
        return self.runs * batch.tiles * batch.steps / self.busy_seconds


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
        found = self.ask(request, SoakSlice, seconds=_SECONDS_FOR_A_BATCH + request.seconds)
        if found.result.batch != request.batch:
            raise self.disbelieve(f"the result of another batch, {found.result.batch}")
        return found
