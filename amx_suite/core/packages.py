"""Which Python packages are installed."""

from __future__ import annotations

__all__ = ["installed"]

import functools
import importlib.metadata
from collections.abc import Callable


def installed(distribution: str) -> str | None:
    """The installed version of a package, or None; does not import it."""
    # By its name at each call, so that selftests can put another function in its place.
    return _version(importlib.metadata.version, distribution)


@functools.cache
def _version(look_up: Callable[[str], str], distribution: str) -> str | None:
    """Looked up once, because a package's metadata is long."""
    try:
        return look_up(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
