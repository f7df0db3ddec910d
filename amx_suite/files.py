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

_REMEDY = "choose a folder that can be written"
#: Longer than a folder stays without a change while its process lives.
_LEFTOVER_SECONDS = 24 * 3600


def ensure_writable(folder: Path) -> None:
    """Make the folder if it is missing, and try to write a file in it.

    Raises OutputError before a long run rather than at its end.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = _beside(folder / "probe")
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise _cannot(folder, error) from error


def write_atomically(path: Path, text: str) -> None:
    """Write a temporary file in the same folder, fsync it, and rename it.

    So ``path`` always holds its old content or all of the new. Raises OutputError.
    """
    temporary = _beside(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with temporary.open("x", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise _cannot(path.parent, error) from error


def move_into_place(source: Path, path: Path) -> None:
    """Rename a finished file of the same file system to ``path``; raises OutputError."""
    try:
        with source.open("rb") as stream:
            os.fsync(stream.fileno())
        source.replace(path)
    except OSError as error:
        raise _cannot(path.parent, error) from error


def remove_files(folder: Path, names: Iterable[str]) -> None:
    """Remove these files of the folder where they exist; raises OutputError."""
    try:
        for name in names:
            (folder / name).unlink(missing_ok=True)
    except OSError as error:
        raise _cannot(folder, error) from error


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


def _beside(path: Path) -> Path:
    # Not tempfile: only the user can read its files, and results are for others too.
    return path.with_name(f".{path.name}.{secrets.token_hex(6)}.tmp")


def _cannot(folder: Path, error: OSError) -> OutputError:
    return OutputError(f"cannot write in {folder}: {error.strerror or error}; {_REMEDY}")
