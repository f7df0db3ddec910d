"""Numbers from a child or a stored file: finite, and of the right sign.

msgspec checks them when it decodes a message or a file. Infinity is above each upper bound, and NaN
is in no range.
"""

from __future__ import annotations

__all__ = ["Count", "Duration", "Natural", "Rate", "Seconds"]

from typing import Annotated

from msgspec import Meta

#: A count of at least one.
Count = Annotated[int, Meta(ge=1)]
#: A count that may be zero.
Natural = Annotated[int, Meta(ge=0)]
#: A measured duration; the bound is thirty years.
Seconds = Annotated[float, Meta(gt=0, lt=1e9)]
#: A duration that may be zero, because a log rounds it or there was nothing to do.
Duration = Annotated[float, Meta(ge=0, lt=1e12)]
#: Operations or bytes a second; the bound is a million times a core's peak.
Rate = Annotated[float, Meta(gt=0, lt=1e18)]
