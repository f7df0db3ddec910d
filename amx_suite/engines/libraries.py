"""Compiled models on disk, each under the key of all that it was made from.

A model is a folder named ``KEY-DIGEST``, of a shared library and what must lie beside it. The key
says what it computes, the digest (SHA-256) what its files hold, so that a model that was cut short,
changed or made from something else is never loaded, and one renaming puts it in its place, whoever
else does the same.
"""

from __future__ import annotations

__all__ = ["find", "keep", "scratch"]

import contextlib
import hashlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from amx_suite.child.handle import scratch_folder

#: Of all models under a ceiling; a large one holds its weights. The longest unused go first.
_MOST_BYTES = 6 * 2**30
_SCRATCH = "compiling-"
#: After which a folder of scratch files belongs to no compilation that still runs.
_SECONDS_OF_SCRATCH = 24 * 3600.0


def find(folder: Path, key: str) -> Path | None:
    """The model of this key, whole as it was kept, or None; what is not whole is removed."""
    for path in folder.glob(f"{key}-*"):
        with contextlib.suppress(OSError):
            if path.name == _name(key, path):
                path.touch()
                return path
        shutil.rmtree(path, ignore_errors=True)
    return None


def keep(folder: Path, key: str, made: Path) -> Path:
    """Move a model's folder, made in ``scratch``, into its place, and make room for it."""
    kept = folder / _name(key, made)
    try:
        made.rename(kept)
    except OSError:
        if not kept.is_dir():
            raise
        # Another process has made the very same.
    _make_room(folder, kept)
    return kept


@contextlib.contextmanager
def scratch(folder: Path) -> Iterator[Path]:
    """A new folder, on the same file system, for what a compilation leaves behind."""
    folder.mkdir(parents=True, exist_ok=True)
    with scratch_folder(folder, _SCRATCH) as made:
        yield made


def _name(key: str, path: Path) -> str:
    digest = hashlib.sha256()
    for part in sorted(path.iterdir()):
        with part.open("rb") as file:
            digest.update(f"{part.name} {hashlib.file_digest(file, 'sha256').hexdigest()}".encode())
    return f"{key}-{digest.hexdigest()}"


def _make_room(folder: Path, newest: Path) -> None:
    """Remove the longest unused models beyond the limit, and what killed compilations left.

    Another process may do the same, and may have a removed model loaded: it keeps it.
    """
    found = []
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            seconds = path.stat().st_mtime
            if not path.name.startswith(_SCRATCH):
                found.append((seconds, sum(part.stat().st_size for part in path.iterdir()), path))
            elif time.time() - seconds > _SECONDS_OF_SCRATCH:
                shutil.rmtree(path)
    total = 0
    for _, size, path in sorted(found, reverse=True):
        total += size
        if total > _MOST_BYTES and path != newest:
            shutil.rmtree(path, ignore_errors=True)
