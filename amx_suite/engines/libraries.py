"""Compiled models on disk, each in a folder named ``KEY-DIGEST``.

The key says what a model was compiled from, the digest (SHA-256) what its files hold. So a model
that was cut short or changed is never loaded, and one rename puts a model in its place, even if
another process compiles the same one.
"""

from __future__ import annotations

__all__ = ["find", "keep"]

import contextlib
import hashlib
import shutil
from pathlib import Path

#: For all models under one ceiling; BERT-base's weights alone are 440 MB. The longest unused go
#: first.
_MOST_BYTES = 6 * 2**30


def find(folder: Path, key: str) -> Path | None:
    """The model of this key as it was kept, or None; a damaged one is removed."""
    for path in folder.glob(f"{key}-*"):
        with contextlib.suppress(OSError):
            if path.name == _name(key, path):
                path.touch()
                return path
        shutil.rmtree(path, ignore_errors=True)
    return None


def keep(folder: Path, key: str, made: Path) -> Path:
    """Move a model, a folder on the same file system, into its place, and make room for it."""
    kept = folder / _name(key, made)
    try:
        made.rename(kept)
    except OSError:
        if not kept.is_dir():
            raise
        # Another process has made the very same.
    _make_room(folder, kept)
    return kept


def _name(key: str, path: Path) -> str:
    digest = hashlib.sha256()
    for part in sorted(path.iterdir()):
        with part.open("rb") as file:
            digest.update(f"{part.name} {hashlib.file_digest(file, 'sha256').hexdigest()}".encode())
    return f"{key}-{digest.hexdigest()}"


def _make_room(folder: Path, newest: Path) -> None:
    """Remove the longest unused models beyond the limit.

    Another process may do the same; a model that it has loaded stays loaded.
    """
    found = []
    for path in folder.iterdir():
        with contextlib.suppress(OSError):
            size = sum(part.stat().st_size for part in path.iterdir())
            found.append((path.stat().st_mtime, size, path))
    total = 0
    for _, size, path in sorted(found, reverse=True):
        total += size
        if total > _MOST_BYTES and path != newest:
            shutil.rmtree(path, ignore_errors=True)
