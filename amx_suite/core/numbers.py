"""Numbers as they may enter from a child or a stored file: finite, and of the right sign.

msgspec checks them where a message or a file is decoded. Infinity is beyond each upper bound, and
NaN is in no range at all.
"""

from __future__ import annotations

__all__ = ["Count", "Duration", "Natural", "Rate", "Seconds"]

from typing import Annotated

from msgspec import Meta

#: How many there are of something that there must be.
Count = Annotated[int, Meta(ge=1)]
#: How many there are, if any.
Natural = Annotated[int, Meta(ge=0)]
#: A measured duration; the bound is thirty years.
Seconds = Annotated[float, Meta(gt=0, lt=1e9)]
#: A duration that may be nothing: a log rounds it, or what would take it was not done.
Duration = Annotated[float, Meta(ge=0, lt=1e12)]
#: Operations or bytes a second; the bound is a million times a core's peak.
Rate = Annotated[float, Meta(gt=0, lt=1e18)]
