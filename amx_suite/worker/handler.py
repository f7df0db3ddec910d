"""What an arm's child answers, once it is in its jail or free."""

from __future__ import annotations

__all__ = ["ArmChild"]

from typing import Any, ClassVar

from amx_suite.child.channel import ArrayMap
from amx_suite.child.messages import Reply
from amx_suite.core.evidence import Jail
from amx_suite.worker.messages import ArmRequest, Launch, Launched
from amx_suite.worker.session import Session


class ArmChild:
    """Handles ``ArmRequest``: ``Launch`` first, the rest by the session."""

    requests: ClassVar[Any] = ArmRequest

    def __init__(self, jail: Jail) -> None:
        self.jail = jail
        self._session: Session | None = None

    def handle(self, request: ArmRequest, arrays: ArrayMap) -> tuple[Reply, ArrayMap]:
        """Carry out one request."""
        if isinstance(request, Launch):
            self._session = Session(request, self.jail)
            return Launched(self.jail), {}
        if self._session is None:
            raise ValueError("the first request must be Launch")
        return self._session.handle(request, arrays)
