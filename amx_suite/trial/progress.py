"""What a trial tells of its progress; the terminal and the tests listen in their own ways."""

from __future__ import annotations

__all__ = ["Progress", "Silent"]

from typing import Protocol

from amx_suite.core.case import RunCase
from amx_suite.core.trial import Trial


class Progress(Protocol):
    """Called between slices only, never while one is timed."""

    def preparing(self, trial: Trial, case: RunCase, number: int, of: int) -> None:
        """Arm ``number`` (from 1) of ``of`` is about to be prepared."""

    def round_done(
        self, trial: Trial, rounds: int, decided: int, gates: int, elapsed: float, budget: float
    ) -> None:
        """A round is finished: ``decided`` of ``gates`` are decided; both times in seconds."""

    def proving(self, trial: Trial, case: RunCase) -> None:
        """The arm's untimed evidence step is about to run."""

    def note(self, trial: Trial, sentence: str) -> None:
        """Something the report will say as well."""


class Silent:
    """Progress for nobody."""

    def preparing(self, trial: Trial, case: RunCase, number: int, of: int) -> None:
        """Say nothing."""

    def round_done(
        self, trial: Trial, rounds: int, decided: int, gates: int, elapsed: float, budget: float
    ) -> None:
        """Say nothing."""

    def proving(self, trial: Trial, case: RunCase) -> None:
        """Say nothing."""

    def note(self, trial: Trial, sentence: str) -> None:
        """Say nothing."""
