"""What was judged in a test; every judgement comes here by itself, so that none is forgotten."""

from __future__ import annotations

__all__ = ["note", "recorded"]

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from amx_suite.core.agreement import Agreement

_RECORD: ContextVar[list[Agreement] | None] = ContextVar("_RECORD", default=None)


@contextmanager
def recorded() -> Iterator[list[Agreement]]:
    """The agreements made inside, in their order; an outer record does not get them."""
    found: list[Agreement] = []
    token = _RECORD.set(found)
    try:
        yield found
    finally:
        _RECORD.reset(token)


def note(agreement: Agreement) -> Agreement:
    """Add an agreement to the record, if one is kept, and return it."""
    found = _RECORD.get()
    if found is not None:
        found.append(agreement)
    return agreement
