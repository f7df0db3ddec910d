"""The 64 bytes that LDTILECFG reads."""

from __future__ import annotations

__all__ = ["MAX_ROWS", "MAX_ROW_BYTES", "TILES", "TILE_BYTES", "UNUSED_TILE", "tile_config"]

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


#: A tile that is configured only because a later one is used: the least there is.
UNUSED_TILE = (1, 4)


def tile_config(shapes: Sequence[tuple[int, int]]) -> bytes:
    """Configuration of tiles 0, 1, ... as (rows, bytes per row) each; the rest stay unused.

    Raises ValueError for a shape beyond palette 1, which LDTILECFG would answer with a fault.
    """
    if len(shapes) > TILES:
        raise ValueError(f"{len(shapes)} tiles asked for: palette 1 has {TILES}")
    for index, (rows, row_bytes) in enumerate(shapes):
        if not (0 < rows <= MAX_ROWS and 0 < row_bytes <= MAX_ROW_BYTES):
            raise ValueError(
                f"tile {index} of {rows} rows and {row_bytes} bytes per row: palette 1 allows 1 "
                f"to {MAX_ROWS} rows of 1 to {MAX_ROW_BYTES} bytes"
            )
    unused = [0] * (16 - len(shapes))
    row_bytes_field = [row_bytes for _, row_bytes in shapes] + unused
    rows_field = [rows for rows, _ in shapes] + unused
    return _LAYOUT.pack(_PALETTE, 0, *row_bytes_field, *rows_field)
