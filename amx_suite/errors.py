"""Every error the suite raises on purpose, in one tree.

::

    AmxSuiteError
    |-- UsageError               the user's input cannot be used (exit code 2)
    |   |-- UnknownNameError     no engine, workload, level or precision of that name
    |   |-- GateTableError       a gate table is malformed
    |   `-- ResultsFileError     a stored result or baseline cannot be used
    |-- OutputError              an output folder or file cannot be written
    |-- EngineUnavailableError   the engine's packages are absent or of the wrong version
    |-- NotApplicableError       this engine, version or CPU cannot do what the case asks
    `-- WorkerError              a child process did not do its work
        |-- WorkerStartError     it never became ready
        |-- WorkerDiedError      it ended by itself: exit code or signal
        |   `-- CeilingIgnoredError  by an instruction that the kernel refuses under its ceiling
        |-- WorkerMemoryError    it ran out of memory
        |-- WorkerHungError      it is alive, and silent past its time limit
        |-- WorkerFailedError    it reported an exception of its own
        `-- ProtocolError        its messages could not be understood

Beside the tree stand ``tmul.jit.AssemblyError`` (a mistake in our own assembly) and
``worker.jail.JailUnavailableError`` (raised before this package may be imported).

Library code raises these and never exits; only the command line turns them into exit codes. Each
message names the thing, what was expected, and what to do.
"""

from __future__ import annotations

__all__ = [
    "AmxSuiteError",
    "CeilingIgnoredError",
    "EngineUnavailableError",
    "GateTableError",
    "NotApplicableError",
    "OutputError",
    "ProtocolError",
    "ResultsFileError",
    "UnknownNameError",
    "UsageError",
    "WorkerDiedError",
    "WorkerError",
    "WorkerFailedError",
    "WorkerHungError",
    "WorkerMemoryError",
    "WorkerStartError",
]

import difflib
from collections.abc import Iterable


class AmxSuiteError(Exception):
    """Base of all errors the suite raises on purpose."""


class UsageError(AmxSuiteError):
    """The user's input cannot be used; the message says what was expected."""


class UnknownNameError(UsageError):
    """A name that is in no table; lists what there is and the nearest spelling."""

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


class WorkerError(AmxSuiteError):
    """A child process did not do its work.

    ``case`` is the id of the run case (or ceiling) the child served and ``stderr_tail`` the end of
    what it wrote to its standard error.
    """

    def __init__(self, case: str, what: str, stderr_tail: str = "") -> None:
        self.case = case
        self.what = what
        self.stderr_tail = stderr_tail.strip()
        tail = f"\nthe end of its stderr:\n{self.stderr_tail}" if self.stderr_tail else ""
        super().__init__(f"worker {case}: {what}{tail}")


class WorkerStartError(WorkerError):
    """The child never became ready."""


class WorkerDiedError(WorkerError):
    """The child ended by itself; ``what`` names its exit code or signal."""


class CeilingIgnoredError(WorkerDiedError):
    """A jailed child was killed for an instruction that the kernel refuses it: a library used AMX.

    Not a fault of the run but a finding about the engine.
    """


class WorkerMemoryError(WorkerError):
    """The child ran out of memory."""


class WorkerHungError(WorkerError):
    """The child is alive and did not answer within its time limit."""


class WorkerFailedError(WorkerError):
    """The child reported an exception of its own."""


class ProtocolError(WorkerError):
    """The child's messages could not be understood."""
