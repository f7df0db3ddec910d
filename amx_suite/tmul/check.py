"""What a check of tile state is, and how one can end."""

from __future__ import annotations

__all__ = ["Broken", "Check", "CheckResult", "NotHere", "Outcome"]

import signal
from collections.abc import Callable
from enum import StrEnum
from typing import NamedTuple

import msgspec


class Broken(Exception):  # noqa: N818 - a finding, not an error of the program
    """The machine or its kernel does not do as specified; the message says how."""


class NotHere(Exception):  # noqa: N818 - likewise
    """The check cannot be made on this machine; the message says why."""


class Check(NamedTuple):
    """``run(cpu)`` must return (or, with ``ends_by``, be killed by that signal).

    It raises Broken or NotHere otherwise. ``control`` does the same in the legal way and must
    return; so that a process that would be killed in any case proves nothing.
    """

    run: Callable[[int], None]
    ends_by: signal.Signals | None = None
    control: Callable[[int], None] | None = None


class Outcome(StrEnum):
    """How a check ended on one CPU."""

    OK = "ok"
    BROKEN = "broken"
    NOT_HERE = "not applicable"


class CheckResult(msgspec.Struct, frozen=True):
    """One check on one CPU; ``detail`` says what was found where it is not OK."""

    check: str
    cpu: int
    outcome: Outcome
    detail: str = ""
