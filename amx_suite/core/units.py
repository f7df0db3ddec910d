"""The machine's units with their theoretical rates, and checked types for measured numbers.

msgspec checks the numbers when it decodes a message of a child or a stored file. Infinity is above
each upper bound, and NaN is in no range.
"""

from __future__ import annotations

__all__ = [
    "PER_CYCLE",
    "Count",
    "Duration",
    "Natural",
    "Rate",
    "Ratio",
    "Seconds",
    "Share",
    "Unit",
]

from enum import StrEnum
from typing import Annotated

from msgspec import Meta

#: A count of at least one; the bound is more operations than any step has.
Count = Annotated[int, Meta(ge=1, lt=10**18)]
#: A count that may be zero.
Natural = Annotated[int, Meta(ge=0, lt=10**18)]
#: A measured duration, from a tick of the clock to thirty years. A quotient of two of them, or of
#: one and a count, is never 0 or infinite.
Seconds = Annotated[float, Meta(ge=1e-9, lt=1e9)]
#: A duration that may be zero, because a log rounds it or there was nothing to do.
Duration = Annotated[float, Meta(ge=0, lt=1e12)]
#: Operations or bytes a second or a cycle; the bound is a million times a core's peak.
Rate = Annotated[float, Meta(ge=1e-9, lt=1e18)]
#: One measured duration over another, per step.
Ratio = Annotated[float, Meta(ge=1e-36, lt=1e36)]
#: A part of a whole.
Share = Annotated[float, Meta(ge=0, le=1)]


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
