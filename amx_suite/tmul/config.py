"""The 64 bytes that LDTILECFG reads."""

from __future__ import annotations

__all__ = ["MAX_ROWS", "MAX_ROW_BYTES", "TILES", "TILE_BYTES", "tile_config"]

import struct
from collections.abc import Sequence

#: Limits of palette 1 (Intel SDM volume 1, chapter 18; CPUID leaf 1D, subleaf 1).
TILES = 8
MAX_ROWS = 16
MAX_ROW_BYTES = 64
TILE_BYTES = MAX_ROWS * MAX_ROW_BYTES

_PALETTE = 1
#: palette, start row, 14 reserved, bytes per row of 16 tiles, rows of 16 tiles (SDM, LDTILECFG).
_LAYOUT = struct.Struct("<BB14x16H16B")


def tile_config(shapes: Sequence[tuple[int, int]]) -> bytes:
    """Configuration of tiles 0, 1, ... as (rows, bytes per row) each; the rest stay unused.

    LDTILECFG faults on a shape beyond palette 1.
    """
    padded = (*shapes, *[(0, 0)] * (16 - len(shapes)))
    row_bytes = (each for _, each in padded)
    rows = (each for each, _ in padded)
    return _LAYOUT.pack(_PALETTE, 0, *row_bytes, *rows)
