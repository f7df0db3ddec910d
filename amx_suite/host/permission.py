"""Whether the kernel lets a process use tiles: asked in a child, so that nobody here gains it."""

from __future__ import annotations

__all__ = ["Answer", "Permission", "amx_permission_held", "ask_permission"]

import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from amx_suite.tmul import xcomp

#: By path, isolated and without site packages: the child needs no more than the standard library
#: and starts in a fifth of the time.
_CHILD_PROGRAM = (sys.executable, "-I", "-S", str(Path(xcomp.__file__)))


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
        """Whether the value is a mask with XTILEDATA in it."""
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


def ask_permission(
    *, program: Sequence[str] = _CHILD_PROGRAM, timeout_seconds: float = 20.0
) -> Permission:
    """Ask the kernel in a child process; a child killed by a system-call filter is an answer."""
    try:
        done = subprocess.run(
            program,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_seconds,
            start_new_session=True,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Permission(error=f"the process that asks did not run: {error}")
    answers: dict[str, Answer] = {}
    for line in done.stdout.splitlines():
        name, _, said = line.partition(" ")
        if name in xcomp.QUESTIONS:
            answers[name] = Answer(int(said)) if said.isdecimal() else Answer(errno=said)
    unanswered = [name for name in xcomp.QUESTIONS if name not in answers]
    why = ""
    if unanswered and done.returncode < 0:
        # It was killed by the first question that has no answer.
        answers[unanswered[0]] = Answer(signal=_signal_name(-done.returncode))
    elif unanswered:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        why = f"the process that asks failed: {last[0]}"
    return msgspec.structs.replace(Permission(error=why), **answers)


def _signal_name(number: int) -> str:
    known = {member.value: member.name for member in signal.Signals}
    return known.get(number, f"signal {number}")


def amx_permission_held() -> bool | None:
    """Whether this very process may use tiles; None where the kernel does not know the question.

    False proves that no instruction in this process has used a tile: a permission is never lost.
    """
    mask = xcomp.permitted().value
    return None if mask is None else bool(mask >> xcomp.XTILEDATA & 1)
