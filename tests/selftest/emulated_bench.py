"""Tile workers' handlers on a machine without tiles."""

from amx_suite.tmul.batch import BatchResult
from amx_suite.tmul.bench import TileBench, TilesChecked
from amx_suite.tmul.kernel_calls import current_cpu


class Emulated(TileBench):
    """The oracle stands for the instructions."""

    def __init__(self):
        from amx_suite.tmul import execute
        from amx_suite.tmul.conformance import expected

        super().__init__()
        execute.execute = lambda batch, steps: (expected(batch, steps), 0)

    def _require_permission(self):
        """The kernel need not grant it."""


class Quick(TileBench):
    """Nothing is computed, so that many can be started."""

    def handle(self, request, arrays):
        batch = request.batch
        return TilesChecked(BatchResult(batch, current_cpu(), batch.elements, 0)), {}
