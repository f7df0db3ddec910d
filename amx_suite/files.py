"""Writes files and folders so that a reader never sees half of one."""

from __future__ import annotations

__all__ = [
    "ensure_writable",
    "move_into_place",
    "remove_files",
    "scratch_folder",
    "write_atomically",
]

import contextlib
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from amx_suite.errors import OutputError

#: Longer than a folder stays without a change while its process lives.
_LEFTOVER_SECONDS = 24 * 3600


def ensure_writable(folder: Path) -> None:
    """Make the folder if it is missing, and try to write a file in it.

    Raises OutputError before a long run rather than at its end.
    """
    with _writing_in(folder):
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()


def write_atomically(path: Path, text: str) -> None:
    """Write a temporary file in the same folder, and move it into place; raises OutputError.

    So ``path`` always holds its old content or all of the new.
    """
    # Not tempfile: only the user can read its files, and results are for others too.
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")
    with _writing_in(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("x", encoding="utf-8") as stream:
                stream.write(text)
            move_into_place(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


def move_into_place(source: Path, path: Path) -> None:
    """Sync a finished file to its disk and rename it to ``path`` there; raises OutputError."""
    with _writing_in(path.parent):
        with source.open("rb") as stream:
            os.fsync(stream.fileno())
        source.replace(path)


def remove_files(folder: Path, names: Iterable[str]) -> None:
    """Remove these files of the folder where they exist; raises OutputError."""
    with _writing_in(folder):
        for name in names:
            (folder / name).unlink(missing_ok=True)


@contextlib.contextmanager
def scratch_folder(beside: Path, prefix: str) -> Iterator[Path]:
    """A new folder in ``beside``, removed afterwards.

    Also removes the folders that killed processes left a day ago or earlier.
    """
    for left in beside.glob(f"{prefix}*"):
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > _LEFTOVER_SECONDS:
                shutil.rmtree(left)
    with tempfile.TemporaryDirectory(
        prefix=prefix, dir=beside, ignore_cleanup_errors=True
    ) as folder:
        yield Path(folder)


@contextlib.contextmanager
def _writing_in(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"cannot write in {folder}: {error.strerror or error}; choose a folder that can be "
            "written"
        ) from error
