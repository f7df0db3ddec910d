"""A child's tile work: batches checked against the oracle, and soaks."""

from __future__ import annotations

__all__ = ["TileBench"]

from typing import TYPE_CHECKING

from amx_suite.errors import NotApplicableError, UsageError
from amx_suite.tmul.batch import BatchResult, SoakSlice, TileBatch
from amx_suite.tmul.xcomp import errno_name, request_tiles

if TYPE_CHECKING:
    from amx_suite.tmul.soak import Soak


class TileBench:
    """Runs batches on the CPU that the child is bound to. Holds at most one soak.

    Raises NotApplicableError if the kernel refuses the tile permission.
    """

    def __init__(self) -> None:
        reply = request_tiles()
        if reply.value is None:
            raise NotApplicableError(
                f"the kernel refused the tile permission: {errno_name(reply.errno)}"
            )
        self._soak: Soak | None = None

    def check(self, batch: TileBatch) -> BatchResult:
        """Every element of the batch against the oracle."""
        from amx_suite.tmul.conformance import check_batch
        from amx_suite.tmul.execute import execute

        try:
            return check_batch(batch, execute)
        except (KeyError, ValueError) as error:
            raise UsageError(f"no such batch of tiles: {error}") from error

    def rerun(self, result: BatchResult) -> BatchResult:
        """The tile of the result's first mismatch once more."""
        from amx_suite.tmul.conformance import rerun
        from amx_suite.tmul.execute import execute

        try:
            return rerun(result, execute)
        except (KeyError, ValueError) as error:
            raise UsageError(f"this result cannot be run again: {error}") from error

    def soak(self, batch: TileBatch, seconds: float) -> SoakSlice:
        """Repeat the batch for so long; going on with the one before costs no preparation."""
        from amx_suite.tmul.soak import Soak

        if self._soak is None or self._soak.batch != batch:
            self._soak = Soak(batch)
        return self._soak.run_for(seconds)
