"""A second look at the end of the run, for trials that lacked quiet.

The timed tests of such a trial are put off: nothing is reported of them until the trial has been
measured once more, after all other tests. What it says then stands.
"""

from __future__ import annotations

__all__ = ["MOST_SECONDS", "SecondLooks", "run_protocol", "second_looks"]

import time
from collections.abc import Callable

import pytest

# Not public; pytest's own way to run a test without reporting it, as pytest-rerunfailures does.
from _pytest.runner import runtestprotocol

from amx_suite.core.trial import Trial
from amx_suite.testing import state
from amx_suite.testing.selection import trial_of
from amx_suite.testing.store import TrialStore
from amx_suite.testing.terminal import ProgressLine
from amx_suite.trial.session import TrialSession

#: All second looks of a run together; one that has begun is finished.
MOST_SECONDS = 600.0

_LOOKS = pytest.StashKey["SecondLooks"]()


class _PutOffError(pytest.skip.Exception):  # type: ignore[name-defined,misc]
    """Ends a test whose trial will be measured once more."""


class SecondLooks:
    """Which trials and tests were put off, and which trials have had their second look.

    ``limit`` bounds the seconds of all second looks; where it is reached the first look stands.
    """

    def __init__(
        self, store: TrialStore, limit: float, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._store = store
        self._limit = limit
        self._now = now
        self._spent = 0.0
        self._put_off: set[Trial] = set()
        self._looked: set[Trial] = set()
        self._tests: set[str] = set()
        self._puts_off = False

    def look_again(self, session: TrialSession) -> None:
        """End the running test if its trial lacked quiet and has not been looked at twice."""
        if session.lacks_quiet and session.trial not in self._looked:
            self._puts_off = True
            raise _PutOffError("put off to the end of the run, for want of quiet")

    def run(self, item: pytest.Item, trial: Trial, nextitem: pytest.Item | None) -> None:
        """Run a timed test of the trial, and report it unless it is put off."""
        second = item.nodeid in self._tests
        if second and trial not in self._looked:
            self._looked.add(trial)
            if self._spent < self._limit:
                self._store.renew(trial)
        self._puts_off, began = False, self._now()
        reports = runtestprotocol(item, log=False, nextitem=nextitem)
        if second:
            self._spent += self._now() - began
        if self._puts_off:
            if trial not in self._put_off:
                self._put_off.add(trial)
                text = f"{trial.name}: not quiet enough, so it is measured again at the end"
                ProgressLine(item.config).show(text, keep=True)
            self._tests.add(item.nodeid)
            item.session.items.append(item)
            return
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)


def second_looks(config: pytest.Config) -> SecondLooks:
    """Those of this run."""
    if _LOOKS not in config.stash:
        config.stash[_LOOKS] = SecondLooks(state.store(config), MOST_SECONDS)
    return config.stash[_LOOKS]


def run_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool:
    """Run the item if it is a timed test of a trial; False leaves it to pytest."""
    trial = trial_of(item)
    if trial is None or item.get_closest_marker("performance") is None:
        return False
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    second_looks(item.config).run(item, trial, nextitem)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True
