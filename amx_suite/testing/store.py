"""The sessions of a run's trials: one open at a time, all results kept."""

from __future__ import annotations

__all__ = ["TrialStore"]

from collections.abc import Callable

from amx_suite.core.trial import Trial, TrialResult
from amx_suite.trial.session import TrialSession


class TrialStore:
    """Opens a trial's session when it is first asked for, and closes the one before."""

    def __init__(self, make: Callable[[Trial], TrialSession]) -> None:
        self._make = make
        self._sessions: dict[Trial, TrialSession] = {}
        self._open: TrialSession | None = None

    def session(self, trial: Trial) -> TrialSession:
        """The trial's session; its workers start when something is asked of it."""
        session = self._sessions.get(trial)
        if session is None:
            session = self._sessions[trial] = self._make(trial)
        if self._open is not session:
            self.close()
            self._open = session
        return session

    def renew(self, trial: Trial) -> None:
        """Have the trial measured anew when it is next asked for; what was measured is dropped."""
        session = self._sessions.pop(trial)
        if self._open is session:
            self.close()

    def results(self) -> tuple[TrialResult, ...]:
        """What was measured, unfinished trials as they stand."""
        return tuple(s.so_far() for s in self._sessions.values() if s.has_rounds)

    def close(self) -> None:
        """End the open session's workers."""
        if self._open is not None:
            self._open.close()
            self._open = None
