"""Every error the suite raises on purpose, in one tree.

::

    AmxSuiteError
    |-- UsageError                   exit code 2
    |   |-- UnknownNameError
    |   |-- GateTableError
    |   `-- ResultsFileError
    |-- OutputError                  exit code 2
    |-- EngineUnavailableError
    |-- NotApplicableError
    |-- MachineChangedError
    |-- AssemblyError
    |-- JailUnavailableError
    `-- ChildError
        |-- LostChildError
        |   |-- CeilingIgnoredError
        |   `-- LostToLimitError     (a LimitReachedError, too)
        |-- LimitReachedError
        |   `-- OutOfMemoryError
        `-- ChildFailedError

Library code raises these and never exits; the command line turns them into exit codes. Each message
names the thing, what was expected, and what to do. docs/troubleshooting.md has a row for each.
"""

from __future__ import annotations

__all__ = [
    "AmxSuiteError",
    "AssemblyError",
    "CeilingIgnoredError",
    "ChildError",
    "ChildFailedError",
    "EngineUnavailableError",
    "GateTableError",
    "JailUnavailableError",
    "LimitReachedError",
    "LostChildError",
    "LostToLimitError",
    "MachineChangedError",
    "NotApplicableError",
    "OutOfMemoryError",
    "OutputError",
    "ResultsFileError",
    "UnknownNameError",
    "UsageError",
]

import difflib
from collections.abc import Iterable


class AmxSuiteError(Exception):
    """Base of all errors the suite raises on purpose."""


class UsageError(AmxSuiteError):
    """The user's input cannot be used; the message says what was expected."""


class UnknownNameError(UsageError):
    """An unknown name; the message lists the known names and the nearest one."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean '{near[0]}'?" if near else ""
        super().__init__(f"unknown {kind} '{name}': expected one of {', '.join(known)}.{hint}")


class GateTableError(UsageError):
    """A gate table is malformed; the message gives file, line, expectation and finding."""


class ResultsFileError(UsageError):
    """A stored result cannot be read or compared; the message says why and what to do."""


class OutputError(AmxSuiteError):
    """An output folder or file cannot be written."""


class EngineUnavailableError(AmxSuiteError):
    """The engine's packages are absent or of the wrong version; the message holds the remedy."""


class NotApplicableError(AmxSuiteError):
    """This engine, version or CPU cannot do what the case asks; the message is the reason."""


class MachineChangedError(AmxSuiteError):
    """The machine stood still, or its CPUs changed, so that what was measured does not count.

    ``what`` says which, without the remedy.
    """

    remedy = "keep the machine awake and its CPUs as they are, and run it again"

    def __init__(self, what: str) -> None:
        self.what = what
        super().__init__(f"{what}; {self.remedy}")


class AssemblyError(AmxSuiteError):
    """Machine code could not be assembled or loaded here; the message says why."""


class JailUnavailableError(AmxSuiteError):
    """The jail against AMX could not be set, or would not hold; the message says why.

    The arm runs without it, and its evidence says so.
    """


class ChildError(AmxSuiteError):
    """A child process did not do its work.

    ``label`` says which child: the id of its run case, or its purpose. ``stderr_tail`` is the end
    of its standard error.
    """

    def __init__(self, label: str, what: str, stderr_tail: str = "") -> None:
        self.label = label
        self.what = what
        self.stderr_tail = stderr_tail.strip()
        super().__init__(label, what, self.stderr_tail)

    def __str__(self) -> str:
        tail = f"\nthe end of its stderr:\n{self.stderr_tail}" if self.stderr_tail else ""
        return f"child process {self.label}: {self.what}{tail}"


class LostChildError(ChildError):
    """The child is gone: it ended by itself, or was killed.

    It is killed for a reply that does not come, cannot be read or cannot be true.

    ``signal`` is the one that killed it, None if it exited or the suite killed it. ``silent``: it
    did not reply in time.
    """

    def __init__(
        self,
        label: str,
        what: str,
        stderr_tail: str = "",
        *,
        signal: int | None = None,
        silent: bool = False,
    ) -> None:
        self.signal = signal
        self.silent = silent
        super().__init__(label, what, stderr_tail)


class CeilingIgnoredError(LostChildError):
    """A child without tile permission was killed by SIGILL: a library ignored its ceiling.

    This is a finding about the engine, not a fault of the run.
    """


class LimitReachedError(ChildError):
    """A limit on open files, processes, threads or memory was reached; the child may live on.

    This is no finding about the machine: what needed more was not measured.
    """


class OutOfMemoryError(LimitReachedError):
    """Memory ran out; the child may live on."""


class LostToLimitError(LostChildError, LimitReachedError):
    """The child is gone for a limit, or the kernel killed it because memory ran out."""


class ChildFailedError(ChildError):
    """The child reported an exception, and lives on."""
