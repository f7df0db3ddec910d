"""The trials of a run: what tests ask of them, and the second measurement of those without quiet.

The tests of a trial that lacked quiet are not reported at first. They run again when all other
tests have run, on a new measurement, and its result counts.
"""

from __future__ import annotations

__all__ = ["MOST_SECONDS", "AmxTrial", "Trials"]

import time
from collections.abc import Callable, Collection, Sequence

import pytest

# Private, but pytest's only way to run a test without reporting it; pytest-rerunfailures uses it.
from _pytest.runner import runtestprotocol

from amx_suite.core.case import Arm
from amx_suite.core.gate import Gate
from amx_suite.core.precision import Precision
from amx_suite.core.trial import Trial, TrialResult
from amx_suite.core.verdict import GateResult, Lack
from amx_suite.errors import CeilingIgnoredError, NotApplicableError
from amx_suite.plugin.progress import ProgressLine
from amx_suite.plugin.selection import trial_of
from amx_suite.trial.design_time import DesignTime
from amx_suite.trial.session import TrialSession

#: Seconds for all second measurements of a run; one that has begun is finished.
MOST_SECONDS = 600.0

#: The design time of tests that are still to run. Of the trials named only the second measurement
#: is left, and the seconds limit all of these.
TimeLeft = Callable[[Sequence[pytest.Item], Collection[Trial], float], DesignTime]


class AmxTrial(TrialSession):
    """A trial as a test sees it; it is measured when a test first asks for its speed.

    Where the engine does not have an arm, what is asked of it raises NotApplicableError, which
    skips the test. Unless the trial ``is_final``, its result is withheld where it lacked quiet.
    """

    is_final = False
    was_withheld = False

    def result(self) -> TrialResult:
        """The measured trial; ends the test where the trial is to be measured again."""
        result = super().result()
        if not self.is_final and any(gate.lack is Lack.QUIET for gate in result.gates):
            self.was_withheld = True
            pytest.skip("not quiet enough: measured again at the end of the run")
        return result

    def arm_with_amx(self, precision: Precision) -> Arm:
        """The arm of that precision that may use AMX; KeyError if the trial has none."""
        return self._arm(precision, with_amx=True)

    def arm_without_amx(self, precision: Precision) -> Arm:
        """The arm of that precision that may not use AMX; KeyError if the trial has none."""
        return self._arm(precision, with_amx=False)

    def _arm(self, precision: Precision, *, with_amx: bool) -> Arm:
        for case in self.arms:
            if case.precision is precision and case.isa.allows_amx is with_amx:
                return case
        raise KeyError(f"{precision} {'with' if with_amx else 'without'} AMX")

    def seconds(self, case: Arm) -> tuple[float, ...]:
        """Seconds per step of the arm, one for each round.

        Raises CeilingIgnoredError, which fails the test, for an arm that used AMX under a ceiling
        without it.
        """
        measurement = self.result().measurement
        if case.id in self.missing:
            raise NotApplicableError(self.missing[case.id])
        if case.id in measurement.beyond_ceiling:
            raise CeilingIgnoredError(case.id, measurement.beyond_ceiling[case.id])
        return measurement.series(case.id)

    def pairs(self, baseline_id: str, candidate_id: str) -> tuple[tuple[float, float], ...]:
        """(baseline, candidate) seconds per step of the rounds that have both."""
        return self.result().measurement.pairs(baseline_id, candidate_id)

    def verdict(self, gate: Gate) -> GateResult:
        """The verdict on one of the trial's gates."""
        return next(result for result in self.result().gates if result.gate == gate)


class Trials:
    """The trials that tests asked for: one is open at a time, all results are kept.

    ``progress`` shows the time left when a trial begins, and from then on.
    """

    def __init__(
        self, make: Callable[[Trial], AmxTrial], progress: ProgressLine, time_left: TimeLeft
    ) -> None:
        self._make = make
        self._progress = progress
        self._time_left = time_left
        self._made: dict[Trial, AmxTrial] = {}
        self._open: AmxTrial | None = None
        #: The first measurement of those that are measured again.
        self._first: dict[Trial, TrialResult] = {}
        self._waiting: dict[Trial, set[str]] = {}
        self._item: pytest.Item | None = None
        self._second_began: float | None = None

    def open(self, trial: Trial) -> AmxTrial:
        """The trial, the one before it closed; its workers start when something is asked of it."""
        if trial not in self._made:
            self._announce(trial, MOST_SECONDS)
            self._made[trial] = self._make(trial)
        found = self._made[trial]
        if self._open is not found:
            self.close()
            self._open = found
        return found

    def close(self) -> None:
        """End the open trial's workers."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def results(self) -> tuple[TrialResult, ...]:
        """What was measured; unfinished trials are judged by the rounds they have.

        A second measurement counts once it is complete, and the first one until then.
        """
        found = (
            self._first[trial] if trial in self._first and not made.is_complete else made.so_far()
            for trial, made in self._made.items()
        )
        return tuple(result for result in found if result.measurement.rounds)

    def run_test(self, item: pytest.Item, trial: Trial, nextitem: pytest.Item | None) -> None:
        """Run a test of the trial; report it, or put it at the end of the run."""
        self._item = item
        waiting = self._waiting.setdefault(trial, set())
        if item.nodeid in waiting:
            self._finalize(trial)
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        reports = runtestprotocol(item, log=False, nextitem=nextitem)
        made = self._made.get(trial)
        if made is not None and made.was_withheld:
            made.was_withheld = False
            if not waiting:
                text = (
                    f"{trial.name}: not quiet enough, so it is measured again at the end of the run"
                )
                self._progress.show(text, keep=True)
            waiting.add(item.nodeid)
            item.session.items.append(item)
        else:
            for report in reports:
                item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)

    def _announce(self, trial: Trial, most_again: float) -> None:
        """Say which trial begins with the present test, and how long it and all after it take."""
        if self._item is None:
            return
        items = self._item.session.items
        # A test that runs again stands in the list twice.
        left = items[len(items) - 1 - items[::-1].index(self._item) :]
        again = [other for other, names in self._waiting.items() if names]
        time_left = self._time_left(left, again, most_again)
        name, tail = f"{trial.name} {trial.shape}", f"about {time_left} left"
        if trial in again:
            number = f"second measurement {again.index(trial) + 1} of {len(again)}"
            tail += f"; none begins later than {MOST_SECONDS / 60:g} min after the first"
        else:
            trials = {trial_of(each) for each in items} - {None}
            number = f"trial {len(self._made) + 1} of {len(trials)}"
        self._progress.show(f"{number}: {name}, {tail}", keep=True)
        self._progress.expect(time_left)

    def _finalize(self, trial: Trial) -> None:
        """Drop the first measurement, so that the next test measures again, if time is left."""
        if self._made[trial].is_final:
            return
        if self._second_began is None:
            self._second_began = time.monotonic()
        time_left = MOST_SECONDS - (time.monotonic() - self._second_began)
        if time_left > 0:
            self._announce(trial, time_left)
            dropped = self._made.pop(trial)
            self._first[trial] = dropped.so_far()
            if self._open is dropped:
                self.close()
            self._made[trial] = self._make(trial)
        self._made[trial].is_final = True
