"""The parts of a core that arms contend for, and what each does in a cycle in theory."""

from __future__ import annotations

__all__ = ["PER_CYCLE", "Unit"]

from enum import StrEnum


class Unit(StrEnum):
    """A part of the machine that arms contend for with their neighbours."""

    TILE = "tile"
    TILE_INT8 = "tile int8"
    FMA = "fma"
    MEMORY = "memory"

    @property
    def rate_unit(self) -> str:
        """What a rate of this unit counts, of one CPU."""
        return "bytes/s" if self is Unit.MEMORY else "operations/cycle"


#: Operations that one core with AMX does in a cycle: two 512-bit FMA units, and one tile unit,
#: which a TDP* instruction of full tiles (16 x 16 x 32 BF16 or 64 INT8 products) occupies for 16
#: cycles. Source: Intel 64 and IA-32 Architectures Optimization Reference Manual, chapter on AMX.
PER_CYCLE = {Unit.FMA: 64.0, Unit.TILE: 1024.0, Unit.TILE_INT8: 2048.0}
