"""What commands know of their terminal."""

from __future__ import annotations

__all__ = ["columns", "overwrite"]

import shutil
import sys

#: Columns where the output is a file or a pipe.
_WIDE = 130


def columns() -> int:
    """The width of a table."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDE


def overwrite(text: str) -> None:
    """Write over the current line; does nothing where the output is not a terminal."""
    if sys.stdout.isatty():
        print(f"\r{text}\x1b[K", end="", flush=True)
