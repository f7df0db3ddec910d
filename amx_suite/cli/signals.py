"""How a command ends by a signal: in order by the first, at once by the second.

Ctrl-C sends SIGINT; a time limit, a scheduler or a service manager sends SIGTERM; a terminal that
is closed sends SIGHUP. The first of them raises KeyboardInterrupt with its name, so that pytest
ends and what was measured is written. The second ends all children and the process, and leaves no
unfinished file. A signal that was ignored when the command began, as under ``nohup``, stays so.
"""

from __future__ import annotations

__all__ = ["handled", "only_results_are_left"]

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import NoReturn

from amx_suite.core.run import ExitCode

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _Command:
    """What is known of the command that runs."""

    #: How many of the signals came.
    signals = 0
    #: Whether all that is left is to write results: the first signal then changes nothing.
    only_results_are_left = False
    #: A copy of standard error, which pytest takes for itself while a test runs.
    stderr = 2


@contextlib.contextmanager
def handled() -> Iterator[None]:
    """Handle the signals within the block, which the main thread runs."""
    _Command.signals, _Command.only_results_are_left = 0, False
    with contextlib.suppress(OSError):  # it is closed
        _Command.stderr = os.dup(2)
    before = {
        number: signal.signal(number, _handle)
        for number in _ENDING
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, action in before.items():
            signal.signal(number, action)
        if _Command.stderr != 2:
            os.close(_Command.stderr)
            _Command.stderr = 2


def only_results_are_left() -> None:
    """Say that all was measured: from now on only a second signal ends the command."""
    _Command.only_results_are_left = True


def _handle(number: int, _: FrameType | None) -> None:
    name = signal.Signals(number).name
    if number == signal.SIGHUP:
        _leave_terminal()
    _Command.signals += 1
    if _Command.signals > 1:
        _end_at_once(name)
    if not _Command.only_results_are_left:
        raise KeyboardInterrupt(name)


def _end_at_once(name: str) -> NoReturn:
    """End the children and this process, without what other code would still do."""
    # Here, because most commands have no children.
    from amx_suite.child.handle import end_children
    from amx_suite.files import remove_temporary

    for each in _ENDING:
        signal.signal(each, signal.SIG_IGN)
    end_children()
    remove_temporary()
    with contextlib.suppress(Exception):  # it may be in use, or closed
        sys.stdout.flush()
    text = f"amx-suite: a second signal ({name}) ended it at once\n"
    with contextlib.suppress(OSError):
        os.write(_Command.stderr, text.encode())
    os._exit(ExitCode.UNDECIDED)


def _leave_terminal() -> None:
    """Write to nowhere in place of a terminal that is gone: each write to it would fail.

    pytest keeps copies of standard output, so all descriptors are looked at.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            if str(entry.readlink()).startswith(("/dev/pts/", "/dev/tty", "/dev/console")):
                try:
                    os.write(int(entry.name), b"")
                except OSError:
                    os.dup2(nowhere, int(entry.name))
