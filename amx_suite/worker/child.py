"""What an arm's child is before it is under its ceiling.

The jail comes first, before any import that could ask for the tile permission; only then is the
session imported, and behind it torch.
"""

from __future__ import annotations

__all__ = ["ArmChild"]

import sys
from typing import TYPE_CHECKING, Any, ClassVar

from amx_suite.child.channel import ArrayMap
from amx_suite.child.messages import Reply
from amx_suite.core.evidence import Jail
from amx_suite.worker.jail import JailUnavailableError, refuse_amx
from amx_suite.worker.messages import ArmRequest, Launch, Launched

if TYPE_CHECKING:
    from amx_suite.worker.session import Session


class ArmChild:
    """Handles ``ArmRequest``: ``Launch`` first, the rest by the session."""

    requests: ClassVar[Any] = ArmRequest

    def __init__(self) -> None:
        self._session: Session | None = None

    def handle(self, request: ArmRequest, arrays: ArrayMap) -> tuple[Reply, ArrayMap]:
        """Carry out one request."""
        if isinstance(request, Launch):
            jail = _enter_jail(wanted=not request.isa.allows_amx)
            from amx_suite.worker.session import Session

            self._session = Session(request, jail)
            return Launched(jail), {}
        if self._session is None:
            raise ValueError("the first request must be Launch")
        return self._session.handle(request, arrays)


def _enter_jail(*, wanted: bool) -> Jail:
    """Have the kernel refuse AMX if so wanted; a jail that cannot be set is said, not fatal."""
    if not wanted:
        return Jail.NOT_ASKED
    try:
        refuse_amx()
    except JailUnavailableError as error:
        print(f"the AMX jail could not be set: {error}", file=sys.stderr)
        return Jail.UNAVAILABLE
    return Jail.HELD
