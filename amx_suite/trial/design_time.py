"""How long a run takes by design: on a quiet machine, and at most.

On a quiet machine nothing is repeated. At most, every trial uses up its budget and needs its second
launch, and is measured again at the end of the run because it lacked quiet, until the time for
second measurements is spent. A trial has its second launch in its first or in its second
measurement: without quiet no launch speaks against a gate. Without AMX nothing is repeated, because
no speedup is judged. Times are computed from the measured
seconds in ``design_time.toml`` and from the rules of ``trial.decide`` and ``trial.measure``; all
arms are taken to fit into memory at a time.
"""

from __future__ import annotations

__all__ = ["DesignTime", "Figures", "Part", "Span", "design_time", "load_figures", "whole_level"]

import functools
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from amx_suite.core.case import Arm, Mode, Shape
from amx_suite.core.trial import Trial
from amx_suite.engines import ENGINES
from amx_suite.tmul.probe import READING_SECONDS
from amx_suite.trial.calibrate import DEFAULT_SECONDS
from amx_suite.trial.decide import LEAST_ROUNDS, MOST_BUDGETS, MOST_LOST, ROUNDS, SHOWN_ROUNDS
from amx_suite.worker.arm import SLICE_SECONDS
from amx_suite.workloads import WORKLOADS

_TABLE = Path(__file__).with_name("design_time.toml")

#: Steps of a warm-up, by which a longer step than in the table makes the preparation longer.
_WARMUP_STEPS = 3

_Seconds = Annotated[float, Meta(ge=0, lt=1e6)]


class Span(msgspec.Struct, frozen=True, array_like=True):
    """Seconds on a quiet machine, and at most."""

    quiet: _Seconds
    most: _Seconds

    def __add__(self, other: Span) -> Span:
        return Span(self.quiet + other.quiet, self.most + other.most)

    def times(self, factor: float) -> Span:
        """Both multiplied."""
        return Span(self.quiet * factor, self.most * factor)


_NOTHING = Span(0.0, 0.0)


class ArmFigures(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Seconds of one step and of the preparation."""

    step: Span
    prepare: Span


class TrialFigures(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was measured of each arm of a workload at one shape."""

    engine: str
    workload: str
    shape: str
    source: str
    arms: dict[str, ArmFigures]

    def of_arm(self, arm: Arm) -> ArmFigures:
        """The arm's own figures, or those of the arm that takes longest."""
        longest = max(self.arms.values(), key=lambda each: each.step.most)
        return self.arms.get(arm.arm, longest)


class TestFigures(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was measured of tests that time no trial; design_time.toml explains the fields."""

    test: str
    level: int
    seconds: Span
    source: str
    engine: str = ""
    workload: str = ""
    soak: bool = False
    needs_amx: bool = False


class Figures(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table of measured seconds."""

    cores: int
    start: Span
    evidence: Span
    trial: tuple[TrialFigures, ...] = ()
    test: tuple[TestFigures, ...] = ()

    def of_trial(self, trial: Trial) -> TrialFigures | None:
        """The trial's own figures, else those of another engine; None if there are none."""
        rows = [row for row in self.trial if row.workload == str(trial.workload)]
        own = [row for row in rows if row.engine == trial.arms[0].engine]
        return next(iter(own or rows), None)

    def of_tests(self, part: Part, *, with_amx: bool) -> list[TestFigures]:
        """The rows of the part's tests, each its own or that of another engine."""
        workload = "" if part.trial is None else str(part.trial.workload)
        rows = [
            row
            for row in self.test
            if row.test in part.tests
            and row.workload == workload
            and bool(row.engine) is bool(part.engine)
            and (with_amx or not row.needs_amx)
        ]
        found: dict[str, TestFigures] = {}
        for row in rows:
            if row.test not in found or row.engine == part.engine:
                found[row.test] = row
        return list(found.values())


class Part(msgspec.Struct, frozen=True):
    """What is to be done of a trial, of an engine's other tests, or of those that run once.

    The latter have no ``engine``. ``tests`` are names in the table of tests. A trial is timed if it
    has a ``budget_seconds``; ``again`` says that only its second measurement is left.
    """

    engine: str = ""
    trial: Trial | None = None
    budget_seconds: float | None = None
    tests: frozenset[str] = frozenset()
    again: bool = False


class DesignTime(msgspec.Struct, frozen=True):
    """Seconds on a quiet machine, and at most.

    ``borrowed`` names the other engines whose figures stand in, ``unknown`` the trials that are not
    counted, because no engine has figures of them.
    """

    quiet_seconds: float
    most_seconds: float
    borrowed: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = _text(self.quiet_seconds, self.most_seconds)
        if self.borrowed:
            text += f" (in part by figures of {', '.join(self.borrowed)})"
        if self.unknown:
            text += f" (without {', '.join(self.unknown)}: there are no figures)"
        return text

    def after(self, seconds: float) -> DesignTime | None:
        """What is left of it after so many seconds; None once even the most is over."""
        most = self.most_seconds - seconds
        return DesignTime(max(0.0, self.quiet_seconds - seconds), most) if most > 0 else None


@functools.cache
def load_figures() -> Figures:
    """The table that ships with the suite."""
    return msgspec.toml.decode(_TABLE.read_bytes(), type=Figures)


def whole_level(
    level: int, budgets: Mapping[Trial, float], engines: Iterable[str], figures: Figures
) -> list[Part]:
    """The parts of a level, with these trials and their budgets, and these engines."""
    tests = frozenset(row.test for row in figures.test if row.level <= level)
    return [
        Part(tests=tests),
        *(Part(engine, tests=tests) for engine in engines),
        *(Part(t.arms[0].engine, t, budget, tests) for t, budget in budgets.items()),
    ]


def design_time(
    parts: Iterable[Part],
    figures: Figures,
    *,
    soak_seconds: float,
    most_again_seconds: float,
    from_start: bool,
    with_amx: bool,
) -> DesignTime:
    """The time that these parts take; without AMX that of the arms and tests which need none.

    ``soak_seconds`` is the user's; ``most_again_seconds`` limits all second measurements, of which
    one that has begun is finished. ``from_start`` counts the start of the run, too, and the first
    reading of the machine's quiet rates.
    """
    total = _NOTHING
    again: list[float] = []
    borrowed: dict[str, None] = {}
    unknown: list[str] = []
    for part in parts:
        row = None
        scale = 1.0
        if part.trial is not None:
            row = figures.of_trial(part.trial)
            if row is None:
                unknown.append(part.trial.name)
                continue
            first, second = _trial_seconds(part, row, figures, with_amx=with_amx)
            total += first
            again += [second] if second else []
            scale = _test_scale(part.trial, row, figures)
            borrowed |= dict.fromkeys({row.engine} - {part.engine})
        for test in figures.of_tests(part, with_amx=with_amx):
            total += test.seconds.times(scale)
            total += Span(soak_seconds, soak_seconds) if test.soak else _NOTHING
            borrowed |= dict.fromkeys({test.engine} - {part.engine})
    if again:
        total += Span(0.0, min(sum(again), most_again_seconds + max(again)))
    if from_start:
        total += figures.start
        total += Span(0.0, DEFAULT_SECONDS if again else 0.0)
    return DesignTime(total.quiet, total.most, tuple(borrowed), tuple(unknown))


def _trial_seconds(
    part: Part, row: TrialFigures, figures: Figures, *, with_amx: bool
) -> tuple[Span, float]:
    """What the trial takes, and the most of its second measurement, 0 if it is not timed."""
    trial = part.trial
    assert trial is not None
    prepare = evidence = round_ = _NOTHING
    reading = READING_SECONDS * len(trial.units) if with_amx else 0.0
    scale = _step_scale(trial, row, figures)
    for arm in trial.arms:
        if arm.isa.allows_amx and not with_amx:
            continue
        engine = ENGINES.get(arm.engine)
        if engine is not None and engine.why_not(arm.workload.mode, arm.precision) is not None:
            continue
        known = row.of_arm(arm)
        step = known.step.times(scale)
        prepare += known.prepare + known.step.times(_WARMUP_STEPS * max(0.0, scale - 1.0))
        evidence += figures.evidence + step
        round_ += Span(_slice(step.quiet) + reading, _slice(step.most) + reading)
    if part.budget_seconds is None:
        return prepare + evidence, 0.0
    if not with_amx:
        return prepare + round_.times(SHOWN_ROUNDS) + evidence, 0.0
    launch = _launch(round_, part.budget_seconds)
    once = prepare + launch + evidence
    second_launch = (prepare + launch).most
    if part.again:
        return Span(once.quiet, second_launch), once.most
    return once + Span(0.0, second_launch), once.most


def _step_scale(trial: Trial, row: TrialFigures, figures: Figures) -> float:
    """How much longer a step is on this trial's shape and cores than in the row."""
    workload, measured = WORKLOADS[trial.workload.model], Shape.parse(row.shape)
    items = workload.items_per_step(trial.shape) / workload.items_per_step(measured)
    return items * figures.cores / trial.arms[0].cores


def _test_scale(trial: Trial, row: TrialFigures, figures: Figures) -> float:
    """The same for the trial's other tests, which train on a batch of their own."""
    if trial.workload.mode is Mode.TRAINING:
        return figures.cores / trial.arms[0].cores
    return _step_scale(trial, row, figures)


def _slice(step_seconds: float) -> float:
    return step_seconds * max(1, math.ceil(SLICE_SECONDS / step_seconds))


def _launch(round_: Span, budget: float) -> Span:
    """A launch: quiet until it has its rounds, at most until no rule of ``trial.measure`` goes on.

    It looks at the clock before a slice, so that up to a round is finished beyond the limit.
    """
    enough = min(LEAST_ROUNDS * round_.quiet, MOST_BUDGETS * budget)
    quiet = min(ROUNDS * round_.quiet, max(budget, enough))
    # Beyond its budget it goes on only while little of the time is lost.
    lacking = LEAST_ROUNDS * round_.most / (1.0 - MOST_LOST)
    most = max(budget, min(lacking, MOST_BUDGETS * budget)) + round_.most
    return Span(quiet, most)


def _text(quiet: float, most: float) -> str:
    """The two in whole minutes, or in seconds if they are short; the most is rounded up."""
    if most < 120.0:
        return f"{max(1, round(quiet))} to {math.ceil(most)} s"
    return f"{max(1, round(quiet / 60.0))} to {math.ceil(most / 60.0)} min"
