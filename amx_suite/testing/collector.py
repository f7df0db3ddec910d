"""Gathers the outcome of every conformance test of a run."""

from __future__ import annotations

__all__ = ["Collector"]

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from amx_suite.core.run import Check, CheckOutcome, RunSummary
from amx_suite.core.trial import TrialResult
from amx_suite.testing.outcome import is_inconclusive, is_known_defect, one_line, why_not_usable
from amx_suite.testing.selection import CONFORMANCE_MARKERS

if TYPE_CHECKING:
    import pytest

    from amx_suite.host import Support
    from amx_suite.options import Settings


class Collector:
    """Checks by test id; ``now`` is a monotonic clock in seconds.

    Registered with pytest as a plugin of its own, since these hooks come without the config.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._began = now()
        self._started = datetime.now(UTC).isoformat(timespec="seconds")
        self._checks: dict[str, Check] = {}
        self.interrupted = False
        self.deselected: set[str] = set()

    def pytest_keyboard_interrupt(self) -> None:
        """Remember that the run ended early."""
        self.interrupted = True

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Remember what the user left out of the run."""
        self.deselected.update(item.nodeid for item in items)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take a phase's report of a test; whatever failed or skipped in any phase stands."""
        if not any(marker in report.keywords for marker in CONFORMANCE_MARKERS):
            return
        decisive = report.when == "call" or not report.passed
        if not decisive:
            return
        earlier = self._checks.get(report.nodeid)
        if earlier is not None and earlier.outcome is CheckOutcome.FAILED:
            return
        self._checks[report.nodeid] = Check(report.nodeid, _outcome(report), one_line(report))

    @property
    def passed(self) -> tuple[str, ...]:
        """Ids of the tests that passed."""
        found = self._checks.items()
        return tuple(name for name, c in found if c.outcome is CheckOutcome.PASSED)

    def summary(
        self,
        settings: Settings,
        host: tuple[str, ...],
        support: Support,
        trials: tuple[TrialResult, ...],
    ) -> RunSummary:
        """The run as it stands."""
        return RunSummary(
            level=settings.level,
            engines=settings.engines,
            host=host,
            amx_usable=support.usable,
            amx_reason=why_not_usable(support),
            checks=tuple(self._checks.values()),
            trials=trials,
            started=self._started,
            elapsed_seconds=self._now() - self._began,
            interrupted=self.interrupted,
        )


def _outcome(report: pytest.TestReport) -> CheckOutcome:
    if is_inconclusive(report):
        return CheckOutcome.INCONCLUSIVE
    if is_known_defect(report):
        return CheckOutcome.KNOWN_DEFECT
    if report.skipped:
        return CheckOutcome.SKIPPED
    return CheckOutcome.PASSED if report.passed else CheckOutcome.FAILED
