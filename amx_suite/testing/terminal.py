"""Progress on pytest's terminal; that of trials is written between slices and never during one."""

from __future__ import annotations

__all__ = ["ProgressLine", "TerminalProgress"]

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

    from amx_suite.core.case import RunCase
    from amx_suite.core.trial import Trial

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


class TerminalProgress:
    """What a trial says of its progress."""

    def __init__(self, config: pytest.Config, now: Callable[[], float] = time.monotonic) -> None:
        self._show = ProgressLine(config, now).show

    def preparing(self, trial: Trial, case: RunCase, number: int, of: int) -> None:
        """Say which arm is being prepared."""
        self._show(f"{trial.name} {trial.shape}: preparing {trial.label(case)} ({number} of {of})")

    def round_done(
        self, trial: Trial, rounds: int, decided: int, gates: int, elapsed: float, budget: float
    ) -> None:
        """Say how far the rounds are."""
        of_gates = f"{decided} of {gates} gates decided, " if gates else ""
        text = (
            f"{trial.name} {trial.shape}: {rounds} rounds, {of_gates}"
            f"{elapsed:.0f} s of at most {budget:.0f} s"
        )
        self._show(text, seldom=True)

    def proving(self, trial: Trial, case: RunCase) -> None:
        """Say whose evidence is being taken."""
        self._show(f"{trial.name} {trial.shape}: taking evidence of {trial.label(case)}")

    def note(self, trial: Trial, sentence: str) -> None:
        """Write a line that stays."""
        self._show(f"{trial.name} {trial.shape}: {sentence}", keep=True)
