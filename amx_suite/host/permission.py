"""Does the kernel permit tiles? Asked in a child, because a permission cannot be returned."""

from __future__ import annotations

__all__ = ["Answer", "Permission", "amx_permission_held", "ask_permission"]

from typing import Any

import msgspec

from amx_suite.child.handle import Child
from amx_suite.errors import ChildError, LimitReachedError, LostChildError
from amx_suite.tmul import xcomp
from amx_suite.tmul.kernel_calls import signal_name
from amx_suite.tmul.tile_probe import Answered, Ask


class Answer(msgspec.Struct, frozen=True):
    """The kernel's answer to one question: a value, the name of an errno, or of a fatal signal.

    All empty: the question was not reached.
    """

    value: int | None = None
    errno: str = ""
    signal: str = ""

    def __str__(self) -> str:
        if self.value is not None:
            return f"{self.value:#x}"
        return self.errno or self.signal or "not asked"

    @property
    def has_tiles(self) -> bool:
        """Whether the value is a mask that contains XTILEDATA."""
        return self.value is not None and bool(self.value >> xcomp.XTILEDATA & 1)


class Permission(msgspec.Struct, frozen=True):
    """What the kernel answered to a fresh process: masks of states, and 0 for a granted request.

    ``supported`` is ARCH_GET_XCOMP_SUPP, ``before`` and ``after`` are ARCH_GET_XCOMP_PERM around
    ``request``, ARCH_REQ_XCOMP_PERM for XTILEDATA. ``error`` says why the child could not ask.
    """

    supported: Answer = Answer()
    before: Answer = Answer()
    request: Answer = Answer()
    after: Answer = Answer()
    error: str = ""

    @property
    def granted(self) -> bool:
        """Whether the request was granted and the state is then permitted."""
        return self.request.value is not None and self.after.has_tiles


def ask_permission(handler: str = "amx_suite.tmul.tile_probe:Questions") -> Permission:
    """Ask the kernel in a child process; a child killed by a system-call filter is an answer.

    ``handler`` answers ``Ask`` in the child. Raises LimitReachedError, which is no answer.
    """
    answers: dict[str, Any] = {}
    try:
        with Child(handler, label="tile permission") as child:
            for question in xcomp.QUESTIONS:
                try:
                    said = child.ask(Ask(question), Answered)
                    answers[question] = Answer(said.value, said.errno)
                except LostChildError as lost:
                    if lost.signal is None or isinstance(lost, LimitReachedError):
                        raise
                    answers[question] = Answer(signal=signal_name(lost.signal))
                    break
    except LimitReachedError:
        raise
    except ChildError as error:
        last = error.stderr_tail.splitlines()[-1:]
        answers["error"] = ": ".join([f"the process that asks failed: {error.what}", *last])
    return Permission(**answers)


def amx_permission_held() -> bool | None:
    """Whether this process may use tiles; None where the kernel does not know the question.

    False proves that this process has never used a tile, because a permission is never lost.
    """
    mask = xcomp.permitted().value
    return None if mask is None else bool(mask >> xcomp.XTILEDATA & 1)
