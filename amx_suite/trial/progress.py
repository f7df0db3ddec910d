"""What a trial tells of its progress; the terminal and the tests listen in their own ways."""

from __future__ import annotations

__all__ = ["InWords", "Progress", "Silent"]

from collections.abc import Callable
from typing import Protocol

from amx_suite.core.case import RunCase
from amx_suite.core.trial import Trial


class Progress(Protocol):
    """Called between slices only, never while one is timed."""

    def preparing(self, trial: Trial, case: RunCase, number: int, of: int) -> None:
        """Arm ``number`` (from 1) of ``of`` is about to be prepared."""

    def measuring(
        self, trial: Trial, rounds: int, wanted: int, elapsed: float, budget: float, busy: str
    ) -> None:
        """``rounds`` of ``wanted`` are quiet; both times in seconds; ``busy`` is what it waits for.

        ``busy`` is empty after a round.
        """

    def proving(self, trial: Trial, case: RunCase) -> None:
        """The arm's untimed evidence step is about to run."""

    def note(self, trial: Trial, sentence: str) -> None:
        """Something the report will say as well."""


class Silent:
    """Progress for nobody."""

    def preparing(self, trial: Trial, case: RunCase, number: int, of: int) -> None:
        """Say nothing."""

    def measuring(
        self, trial: Trial, rounds: int, wanted: int, elapsed: float, budget: float, busy: str
    ) -> None:
        """Say nothing."""

    def proving(self, trial: Trial, case: RunCase) -> None:
        """Say nothing."""

    def note(self, trial: Trial, sentence: str) -> None:
        """Say nothing."""


class InWords:
    """Progress in words, for ``show(text, seldom=..., keep=...)``.

    ``seldom`` marks what is said again and again, ``keep`` what must stay to be read.
    """

    def __init__(self, show: Callable[..., None]) -> None:
        self._show = show

    def preparing(self, trial: Trial, case: RunCase, number: int, of: int) -> None:
        """Say which arm is being prepared."""
        self._show(f"{trial.name} {trial.shape}: preparing {trial.label(case)} ({number} of {of})")

    def measuring(
        self, trial: Trial, rounds: int, wanted: int, elapsed: float, budget: float, busy: str
    ) -> None:
        """Say how far the rounds are, and what is waited for."""
        waiting = f", waiting: {busy}" if busy else ""
        text = (
            f"{trial.name} {trial.shape}: {rounds} of {wanted} quiet rounds, "
            f"{elapsed:.0f} s of {budget:.0f} s{waiting}"
        )
        self._show(text, seldom=True)

    def proving(self, trial: Trial, case: RunCase) -> None:
        """Say whose evidence is being taken."""
        self._show(f"{trial.name} {trial.shape}: taking evidence of {trial.label(case)}")

    def note(self, trial: Trial, sentence: str) -> None:
        """Say what the report will say as well."""
        self._show(f"{trial.name} {trial.shape}: {sentence}", keep=True)
