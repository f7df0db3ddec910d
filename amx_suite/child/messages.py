"""Base classes of the messages of all children. Arrays are sent beside a message."""

from __future__ import annotations

__all__ = ["Failed", "FailureKind", "Ready", "Reply", "Request"]

from enum import StrEnum
from typing import ClassVar

import msgspec


class Request(msgspec.Struct, frozen=True, tag=True):
    """A request of the parent.

    Each class sets the limits for sending it and for its reply; a child that takes longer counts
    as hung.
    """

    seconds_to_send: ClassVar[float] = 30.0
    seconds_to_answer: ClassVar[float] = 60.0


class Reply(msgspec.Struct, frozen=True, tag=True):
    """A reply of the child."""


class Ready(Reply, frozen=True, tag=True):
    """The first message of a child, sent once its handler exists."""

    pid: int


class FailureKind(StrEnum):
    """Why a request failed."""

    ERROR = "error"
    MEMORY = "memory"
    NOT_APPLICABLE = "not applicable"
    UNAVAILABLE = "unavailable"
    USAGE = "usage"


class Failed(Reply, frozen=True, tag=True):
    """The request raised an exception; the child lives on."""

    kind: FailureKind
    message: str
    traceback: str = ""
