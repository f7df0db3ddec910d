"""What a quiet run of ``amx-suite qualify`` prints: a line for each trial, folder and failure.

pytest's own output is switched off by options (``cli.qualify``). The result table and the verdict
are printed when pytest has ended.
"""

from __future__ import annotations

__all__ = ["QuietHooks"]

import time
from collections import Counter
from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING

import pytest

from amx_suite.core.run import CheckOutcome
from amx_suite.plugin import outcome
from amx_suite.plugin.selection import trial_of

if TYPE_CHECKING:
    from amx_suite.core.trial import Trial
    from amx_suite.plugin.run import Run

#: Lines of a failure's message that are shown; junit.xml has all of it.
_MOST_LINES = 3


class QuietHooks:
    """The hooks of one quiet run.

    Tests come in groups: those of a trial, and those of a folder that are about none.
    """

    def __init__(self, run: Run, plugins: pytest.PytestPluginManager) -> None:
        self._run = run
        self._plugins = plugins
        self._group = ""
        self._began = 0.0
        self._ids: list[str] = []
        self._messages: set[str] = set()

    def _say(self, text: str) -> None:
        self._run.progress.show(text, keep=True)

    @pytest.hookimpl(trylast=True)
    def pytest_sessionstart(self) -> None:
        """Print the header, which pytest leaves out of a quiet run."""
        with outcome.usage_errors():
            for line in self._run.header:
                self._say(line)

    @pytest.hookimpl(wrapper=True)
    def pytest_report_teststatus(
        self,
    ) -> Generator[None, tuple[str, str, str], tuple[str, str, str]]:
        """Have no letter and no word printed for a test."""
        category, *_ = yield
        return category, "", ""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(
        self, item: pytest.Item, nextitem: pytest.Item | None
    ) -> Generator[None, object, object]:
        """Print a line after the last test of a group."""
        group = _group_of(item)
        if group != self._group:
            self._group, self._began, self._ids = group, time.monotonic(), []
        self._ids.append(item.nodeid)
        result = yield
        if nextitem is None or _group_of(nextitem) != group:
            self._end_group(trial_of(item))
        return result

    @pytest.hookimpl(trylast=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Print a failure at once; a message that many tests share is printed once."""
        if report.failed:
            crash = getattr(report.longrepr, "reprcrash", None)
            message = report.longreprtext if crash is None else crash.message
            self._fail("FAILED", report.nodeid, message.strip().splitlines()[:_MOST_LINES])

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Print what could not be collected."""
        if report.failed:
            # The error itself comes last.
            lines = report.longreprtext.strip().splitlines()[-_MOST_LINES:]
            self._fail("ERROR", report.nodeid, lines)

    def pytest_keyboard_interrupt(self, excinfo: pytest.ExceptionInfo[BaseException]) -> None:
        """Say at once what one signal does, and what another would do; or why pytest ends."""
        name = outcome.signal_of(excinfo.value)
        why = "what was measured is written; a second signal stops at once"
        self._say(f"interrupted by {name}: {why}" if name else f"interrupted: {excinfo.value}")
        # It would add where in the suite's code the run was, and advise an option of pytest.
        self._plugins.unregister(name="terminalreporter")

    def pytest_sessionfinish(self) -> None:
        """Print what is out of date in the user's tables and in the suite's."""
        for warning in self._run.warnings:
            self._say(f"warning: {warning}")

    def _fail(self, word: str, test_id: str, message: Sequence[str]) -> None:
        text = "\n".join(f"  {line}" for line in message)
        if text not in self._messages:
            self._messages.add(text)
            self._say(f"{word} {test_id}\n{text}")

    def _end_group(self, trial: Trial | None) -> None:
        checks = self._run.checks
        # The tests of a trial without quiet have no outcome until they run again.
        counts = Counter(checks[name].outcome for name in self._ids if name in checks)
        told = ", ".join(f"{counts[one]} {one}" for one in CheckOutcome if counts[one])
        if told:
            seconds = time.monotonic() - self._began
            self._say(f"{self._group}: {self._measured(trial)}{told}, {seconds:.0f} s")

    def _measured(self, trial: Trial | None) -> str:
        """How many rounds the trial has and its gates' verdicts; empty if it was not measured."""
        if trial is None:
            return ""
        for result in self._run.trials.results():
            if result.measurement.trial == trial.name:
                # Here, because it imports rich, for which the first lines need not wait.
                from amx_suite.report.rows import measured_text

                return f"{measured_text(result)}; checks: "
        return ""


def _group_of(item: pytest.Item) -> str:
    trial = trial_of(item)
    return item.path.parent.name if trial is None else f"{trial.name} {trial.shape}"
