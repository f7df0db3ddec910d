"""What every child's messages have in common. Arrays travel beside a message, never inside it."""

from __future__ import annotations

__all__ = ["Failed", "FailureKind", "Ready", "Reply", "Request"]

from enum import StrEnum
from typing import ClassVar

import msgspec


class Request(msgspec.Struct, frozen=True, tag=True):
    """What a parent asks.

    Each kind says how long it may take to be sent and to be answered; a child that needs longer
    counts as hung.
    """

    seconds_to_send: ClassVar[float] = 30.0
    seconds_to_answer: ClassVar[float] = 60.0


class Reply(msgspec.Struct, frozen=True, tag=True):
    """What a child answers."""


class Ready(Reply, frozen=True, tag=True):
    """The first reply, to no request: the handler is there."""

    pid: int


class FailureKind(StrEnum):
    """Why a request failed."""

    ERROR = "error"
    MEMORY = "memory"
    NOT_APPLICABLE = "not applicable"
    UNAVAILABLE = "unavailable"
    USAGE = "usage"


class Failed(Reply, frozen=True, tag=True):
    """The request raised; the child lives on."""

    kind: FailureKind
    message: str
    traceback: str = ""
