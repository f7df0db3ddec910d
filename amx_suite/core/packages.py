"""Which Python packages are installed."""

from __future__ import annotations

__all__ = ["installed", "installed_in"]

import contextlib
import functools
import importlib.metadata
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar

#: What another Python has, for as long as ``installed`` speaks of that one.
_other: ContextVar[Mapping[str, str] | None] = ContextVar("_other", default=None)


@contextlib.contextmanager
def installed_in(packages: Mapping[str, str] | None) -> Iterator[None]:
    """Let ``installed`` speak of another Python, which has these packages; None is this Python.

    In this thread only. So an engine can be asked what it can do there.
    """
    token = _other.set(packages)
    try:
        yield
    finally:
        _other.reset(token)


def installed(distribution: str) -> str | None:
    """The installed version of a package, or None; does not import it."""
    if (packages := _other.get()) is not None:
        return packages.get(distribution)
    # By its name at each call, so that selftests can put another function in its place.
    return _version(importlib.metadata.version, distribution)


@functools.cache
def _version(look_up: Callable[[str], str], distribution: str) -> str | None:
    """Looked up once, because a package's metadata is long."""
    try:
        return look_up(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None
