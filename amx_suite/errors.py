"""Every error the suite raises on purpose, in one tree.

::

    AmxSuiteError
    |-- UsageError               the user's input cannot be used (exit code 2)
    |   |-- UnknownNameError     no engine, workload, level or precision of that name
    |   |-- GateTableError       a gate table is malformed
    |   |-- MachineLockError     another run measures on this machine, or its lock cannot be used
    |   `-- ResultsFileError     a stored result or baseline cannot be used
    |-- OutputError              an output folder or file cannot be written
    |-- EngineUnavailableError   the engine's packages are absent or of the wrong version
    |-- NotApplicableError       this engine, version or CPU cannot do what the case asks
    `-- ChildError               a child process did not do its work
        |-- LostChildError       it ended, did not reply in time, or sent an unreadable reply
        |   `-- CeilingIgnoredError  it ran an instruction above its ceiling
        |-- OutOfMemoryError     memory ran out
        `-- ChildFailedError     it reported an exception

Beside the tree stand ``tmul.jit.AssemblyError`` (a mistake in our own assembly) and
``worker.jail.JailUnavailableError`` (the arm runs without the jail, and its evidence says so).

Library code raises these and never exits; the command line turns them into exit codes. Each message
names the thing, what was expected, and what to do.
"""

from __future__ import annotations

__all__ = [
    "AmxSuiteError",
    "CeilingIgnoredError",
    "ChildError",
    "ChildFailedError",
    "EngineUnavailableError",
    "GateTableError",
    "LostChildError",
    "MachineLockError",
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


class MachineLockError(UsageError):
    """Another run, named in the message, measures on this machine, or the lock cannot be used."""


class ResultsFileError(UsageError):
    """A stored result cannot be read or compared; the message says why and what to do."""


class OutputError(AmxSuiteError):
    """An output folder or file cannot be written."""


class EngineUnavailableError(AmxSuiteError):
    """The engine's packages are absent or of the wrong version; the message holds the remedy."""


class NotApplicableError(AmxSuiteError):
    """This engine, version or CPU cannot do what the case asks; the message is the reason."""


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
        return f"child process {self.label}{self._place}: {self.what}{tail}"

    @property
    def _place(self) -> str:
        return ""


class LostChildError(ChildError):
    """The child is gone: it ended by itself, or was killed after no reply or an unreadable one.

    ``cpus`` are the CPUs it was bound to, empty if none. ``exit_code`` or ``signal`` says how it
    ended by itself; both are None if the suite killed it. ``silent``: it did not reply in time.
    ``out_of_memory``: the kernel killed it because memory ran out.
    """

    def __init__(
        self,
        label: str,
        what: str,
        stderr_tail: str = "",
        *,
        cpus: tuple[int, ...] = (),
        exit_code: int | None = None,
        signal: int | None = None,
        silent: bool = False,
        out_of_memory: bool = False,
    ) -> None:
        self.cpus = cpus
        self.exit_code = exit_code
        self.signal = signal
        self.silent = silent
        self.out_of_memory = out_of_memory
        super().__init__(label, what, stderr_tail)

    @property
    def _place(self) -> str:
        return f" (CPU {', '.join(map(str, self.cpus))})" if self.cpus else ""


class CeilingIgnoredError(LostChildError):
    """A child without tile permission was killed by SIGILL: a library ignored its ceiling.

    This is a finding about the engine, not a fault of the run.
    """


class OutOfMemoryError(ChildError):
    """Memory ran out; the child may live on."""


class ChildFailedError(ChildError):
    """The child reported an exception, and lives on."""
