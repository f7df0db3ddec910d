"""The exit codes of every command, in the order in which they win."""

from __future__ import annotations

__all__ = ["ExitCode", "exit_code"]

from enum import IntEnum


class ExitCode(IntEnum):
    """What scripts rely on. Not having measured is never ``OK``."""

    #: A bad option, file or folder: nothing ran.
    USAGE = 2
    #: A check failed, a gate got worse, a stored fault recurred, or the suite itself crashed.
    FAILED = 1
    #: AMX is not usable here.
    NOT_USABLE = 3
    #: Too noisy to tell, interrupted, or nothing was measured.
    UNDECIDED = 4
    OK = 0


def exit_code(
    *, usage: bool = False, failed: bool = False, not_usable: bool = False, undecided: bool = False
) -> ExitCode:
    """The first that holds, in the order of ``ExitCode``."""
    holds = {
        ExitCode.USAGE: usage,
        ExitCode.FAILED: failed,
        ExitCode.NOT_USABLE: not_usable,
        ExitCode.UNDECIDED: undecided,
    }
    return next((code for code in ExitCode if holds.get(code)), ExitCode.OK)
