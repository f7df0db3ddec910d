"""Starts and forks processes; nothing else does. Standard library only."""

from __future__ import annotations

__all__ = ["Process", "exit_code_of", "fork", "start_program"]

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import IO, TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    import subprocess

#: A started program.
Process: TypeAlias = "subprocess.Popen[bytes]"


def start_program(
    command: Sequence[str], environment: Mapping[str, str], descriptor: int, log: IO[bytes]
) -> Process:
    """Start a program that inherits the descriptor and nothing else.

    It has its own session and process group, so that Ctrl-C in a terminal does not reach it, and no
    standard input. Its output goes to ``log``. Raises OSError if it cannot be started.
    """
    # Late, because a child imports this module and starts no program.
    import subprocess

    return subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=log,
        pass_fds=(descriptor,),
        start_new_session=True,
    )


def fork(work: Callable[[], int]) -> int:
    """Run ``work`` in a fork of this process, whose exit code is what ``work`` returns.

    Returns the fork's process id. If ``work`` raises, the fork ends with code 1 and a traceback.
    """
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        code = work()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
        print(ended, file=sys.stderr)
    except BaseException:  # noqa: BLE001 - the fork must never return into its parent's code
        import traceback

        traceback.print_exc()
    finally:
        # Without interpreter shutdown, which can hang on a library's threads.
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(code)


def exit_code_of(pid: int) -> int:
    """Wait for the process to end; its exit code, -N for signal N."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
