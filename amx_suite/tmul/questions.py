"""The child's side of ``host.permission``: what the kernel says of tiles to a fresh process."""

from __future__ import annotations

__all__ = ["Answered", "Ask", "Questions"]

from typing import Any, ClassVar

from amx_suite.child.channel import ArrayMap
from amx_suite.child.messages import Reply, Request
from amx_suite.tmul.xcomp import QUESTIONS, errno_name


class Ask(Request, frozen=True, tag=True):
    """Ask the kernel this question of ``xcomp.QUESTIONS``."""

    seconds_to_answer: ClassVar[float] = 20.0

    question: str


class Answered(Reply, frozen=True, tag=True):
    """What the kernel said: a value, or the name of an errno."""

    value: int | None
    errno: str


class Questions:
    """Handles ``Ask`` in a child that exists for nothing else."""

    requests: ClassVar[Any] = Ask

    def handle(self, request: Ask, arrays: ArrayMap) -> tuple[Answered, ArrayMap]:
        """Put the question; a system-call filter may kill the process for it."""
        value, number = QUESTIONS[request.question]()
        return Answered(value, "" if value is not None else errno_name(number)), {}
