"""The units that arms and neighbours contend for, and their theoretical rates."""

from __future__ import annotations

__all__ = ["PER_CYCLE", "Unit"]

from enum import StrEnum


class Unit(StrEnum):
    """A part of the machine that neighbours can slow down."""

    TILE = "tile"
    TILE_INT8 = "tile int8"
    FMA = "fma"
    MEMORY = "memory"


#: Operations that one core with AMX does in a cycle: two 512-bit FMA units, and one tile unit,
#: which a TDP* instruction of full tiles (16 x 16 x 32 BF16 or 64 INT8 products) occupies for 16
#: cycles. Source: Intel 64 and IA-32 Architectures Optimization Reference Manual, chapter on AMX.
PER_CYCLE = {Unit.FMA: 64.0, Unit.TILE: 1024.0, Unit.TILE_INT8: 2048.0}
