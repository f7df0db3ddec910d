"""Measures comparisons: some launches of each, every one in fresh processes."""

from __future__ import annotations

__all__ = ["LAUNCHES", "ROUNDS", "Ended", "Measured", "Measurer"]

from collections.abc import Callable

import msgspec

from amx_suite.ab.comparison import Comparison
from amx_suite.ab.numbers import Accuracy, compare_models, compare_numbers, model_case
from amx_suite.core.case import Arm
from amx_suite.core.measurement import Measurement
from amx_suite.core.trial import Trial
from amx_suite.core.verdict import Verdict
from amx_suite.errors import (
    ChildError,
    EngineUnavailableError,
    LimitReachedError,
    MachineChangedError,
    NotApplicableError,
)
from amx_suite.history.change import Change
from amx_suite.trial.pool import StartWorker
from amx_suite.trial.session import TrialSession
from amx_suite.workloads.base import Inputs

#: Launches of each comparison, unless the user asks for more. Two launches of the same thing differ
#: by more than their rounds show, so that rounds cannot stand in for them.
LAUNCHES = 4
#: Rounds of a launch, or at least ``trial.decide.LEAST_ROUNDS`` if its budget is spent before. They
#: wait for no quiet: both sides use the same units, in random order, so a neighbour widens the
#: interval and favours none. Source: simulation (benchmarks/simulate_ab.py). Beside one who comes
#: and goes every 3 s, 10 % slower is found in 45 % of runs with 6 rounds, in 97 % with 12; 24 are
#: for one who does so every second, and take no longer than the preparation.
ROUNDS = 24


class Ended(msgspec.Struct, frozen=True):
    """Why a comparison ended before its last launch, and what that says."""

    change: Change
    reason: str


class Measured(msgspec.Struct, frozen=True):
    """A comparison and the measurement of each launch that was finished.

    ``missing`` maps the ids of arms that a side does not have to the reasons. ``accuracy`` is None
    where it was not reached.
    """

    comparison: Comparison
    launches: tuple[Measurement, ...] = ()
    missing: dict[str, str] = {}
    accuracy: Accuracy | None = None
    ended: Ended | None = None


class Measurer:
    """Measures one comparison after the other, and keeps what it has at every moment.

    ``open_session`` makes the session of a trial that takes ``ROUNDS`` rounds; ``start`` starts an
    arm's worker in its side's Python. ``same_build`` says that both sides have the same packages,
    so that their models are the same. ``begin`` is called before each launch with the comparison
    and the launch's number.
    """

    def __init__(
        self,
        open_session: Callable[[Trial], TrialSession],
        start: StartWorker,
        inputs: Inputs,
        *,
        same_build: bool,
        launches: int = LAUNCHES,
        begin: Callable[[Comparison, int], None] = lambda comparison, number: None,
    ) -> None:
        self._open = open_session
        self._start = start
        self._inputs = inputs
        self._same_build = same_build
        self._launches = launches
        self._begin = begin
        #: Why the sides' models differ, by model; empty where they do not.
        self._models: dict[str, str] = {}
        self.measured: list[Measured] = []

    def measure(self, comparison: Comparison) -> None:
        """Measure it; what goes wrong on a side ends the comparison and is kept.

        Ctrl-C passes through, and the launches that were finished stay.
        """
        self.measured.append(Measured(comparison))
        try:
            for number in range(self._launches):
                self._begin(comparison, number)
                if not self._launch(comparison, number):
                    return
        except (MachineChangedError, NotApplicableError, EngineUnavailableError) as error:
            self._end(Change.INCONCLUSIVE, str(error))
        except ChildError as error:
            # What a limit ended, or the base, says nothing of the new side.
            of_new = error.label in (comparison.new.id, model_case(comparison.new).id)
            worse = of_new and not isinstance(error, LimitReachedError)
            change = Change.WORSE if worse else Change.INCONCLUSIVE
            self._end(change, f"{error.label}: {error.what}")

    def _launch(self, comparison: Comparison, number: int) -> bool:
        """One launch; False if no other is needed, because an arm cannot run."""
        if number == 0:
            # Before the session: memory need not hold these workers beside the arms.
            self._check_model(comparison)
        session = self._open(comparison.trial(number))
        try:
            measurement = _without_versions(session.result().measurement)
            missing = dict(session.missing)
            launches = (*self.measured[-1].launches, measurement)
            self._update(launches=launches, missing=missing)
            if missing or measurement.beyond_ceiling:
                return False
            if number == 0:
                self._update(accuracy=self._accuracy(session, comparison))
            return True
        finally:
            session.close()

    def _accuracy(self, session: TrialSession, comparison: Comparison) -> Accuracy:
        base, new = comparison.base, comparison.new
        why_other_model = self._models.get(base.workload.model, "")
        try:
            return compare_numbers(session, base, new, why_other_model)
        except (NotApplicableError, LimitReachedError) as error:
            return Accuracy(Verdict.INCONCLUSIVE, str(error).partition("\n")[0])

    def _check_model(self, comparison: Comparison) -> None:
        """Find out, once for each model, whether both sides have the same."""
        model = comparison.base.workload.model
        if self._same_build or model in self._models:
            return
        try:
            both = comparison.base, comparison.new
            self._models[model] = compare_models(*map(self._fp32_outputs, both))
        except (NotApplicableError, LimitReachedError) as error:
            reason = str(error).partition("\n")[0]
            self._models[model] = f"FP32, which shows whether the models are the same: {reason}"

    def _fp32_outputs(self, arm: Arm) -> object:
        case = model_case(arm)
        with self._start(case) as worker:
            worker.prepare(case, self._inputs)
            return worker.outputs()

    def _end(self, change: Change, reason: str) -> None:
        self._update(ended=Ended(change, reason))

    def _update(self, **changes: object) -> None:
        self.measured[-1] = msgspec.structs.replace(self.measured[-1], **changes)


def _without_versions(measurement: Measurement) -> Measurement:
    """The packages are those of a side, not of the whole measurement (``comparison.Side``)."""
    environment = msgspec.structs.replace(measurement.environment, versions={})
    return msgspec.structs.replace(measurement, environment=environment)
