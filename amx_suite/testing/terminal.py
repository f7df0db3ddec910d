"""Progress on pytest's terminal; that of trials is written between slices and never during one."""

from __future__ import annotations

__all__ = ["ProgressLine", "TerminalProgress"]

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from amx_suite.trial.progress import InWords

if TYPE_CHECKING:
    import pytest

#: Where lines cannot be rewritten (a log file), rounds are reported at most this often.
_SECONDS_BETWEEN_LINES = 10.0


class ProgressLine:
    """Rewrites one line on a terminal, writes a line now and then into a log."""

    def __init__(self, config: pytest.Config, now: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._now = now
        self._last_line = -_SECONDS_BETWEEN_LINES

    def show(self, text: str, *, seldom: bool = False, keep: bool = False) -> None:
        """Write the text over the one before, if it can be done.

        ``keep`` makes it a line that stays. Into a log each text is a line of its own, those marked
        ``seldom`` only now and then.
        """
        terminal = self._config.pluginmanager.getplugin("terminalreporter")
        if terminal is None or terminal.verbosity < 0:
            return
        with self._uncaptured():
            if terminal.isatty and not keep:
                terminal.rewrite(text, erase=True)
            elif not seldom or self._now() - self._last_line >= _SECONDS_BETWEEN_LINES:
                self._last_line = self._now()
                terminal.ensure_newline()
                terminal.write_line(text)

    @contextmanager
    def _uncaptured(self) -> Iterator[None]:
        capture = self._config.pluginmanager.getplugin("capturemanager")
        if capture is None:
            yield
            return
        with capture.global_and_fixture_disabled():
            yield


class TerminalProgress(InWords):
    """What a trial says of its progress."""

    def __init__(self, config: pytest.Config, now: Callable[[], float] = time.monotonic) -> None:
        super().__init__(ProgressLine(config, now).show)
