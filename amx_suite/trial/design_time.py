"""How long a run takes by design: on a quiet machine, and at most.

On a quiet machine nothing is repeated. At most, every trial uses up its budget and needs its second
launch, and is measured again at the end of the run because it lacked quiet, until the time for
second measurements is spent. A trial has its second launch in its first or in its second
measurement: without quiet no launch speaks against a gate. Without AMX nothing is repeated, because
no speedup is judged. Times are computed from the measured seconds in ``design_time.toml`` and from
the rules of ``trial.decide`` and ``trial.measure``; all arms are taken to fit into memory at a
time.
"""

from __future__ import annotations

__all__ = [
    "DesignTime",
    "Figures",
    "Part",
    "Span",
    "TestFigures",
    "design_time",
    "launches_time",
    "load_figures",
]

import functools
import math
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from amx_suite.core.case import Shape
from amx_suite.core.trial import Trial
from amx_suite.engines import ENGINES
from amx_suite.tmul.probe import READING_SECONDS
from amx_suite.trial.decide import LEAST_ROUNDS, MOST_BUDGETS, MOST_LOST, ROUNDS, SHOWN_ROUNDS
from amx_suite.worker.arm import SLICE_SECONDS
from amx_suite.workloads import WORKLOADS

_TABLE = Path(__file__).with_name("design_time.toml")

_Seconds = Annotated[float, Meta(ge=0, lt=1e6)]


class Span(msgspec.Struct, frozen=True, array_like=True):
    """Seconds, or a factor of them, on a quiet machine and at most."""

    quiet: _Seconds
    most: _Seconds

    def __add__(self, other: Span) -> Span:
        return Span(self.quiet + other.quiet, self.most + other.most)

    def __mul__(self, factor: Span) -> Span:
        return Span(self.quiet * factor.quiet, self.most * factor.most)


_NOTHING = Span(0.0, 0.0)
_ONCE = Span(1.0, 1.0)


class TrialFigures(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was measured of a workload and mode; design_time.toml explains the fields."""

    workload: str
    shape: str
    prepare: Span
    checks: Span
    step: dict[str, _Seconds]
    source: str


class TestFigures(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What was measured of tests that time no trial; design_time.toml explains the fields."""

    test: str
    level: int
    source: str
    seconds: Span = _NOTHING
    engine_seconds: Span = _NOTHING
    soak: bool = False
    needs_amx: bool = False


class Figures(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table of measured seconds."""

    cores: int
    start: Span
    engines: dict[str, Span] = {}
    trial: tuple[TrialFigures, ...] = ()
    test: tuple[TestFigures, ...] = ()


class Part(msgspec.Struct, frozen=True):
    """What is to be done of a trial.

    It is timed if it has a ``budget_seconds``, and its numbers are compared if it is ``checked``;
    ``again`` says that only its second measurement is left.
    """

    trial: Trial
    budget_seconds: float | None
    checked: bool = False
    again: bool = False


class DesignTime(msgspec.Struct, frozen=True):
    """Seconds on a quiet machine, and at most, without the trials of which there are no figures."""

    quiet_seconds: float
    most_seconds: float
    unknown: tuple[str, ...] = ()

    def __str__(self) -> str:
        text = _text(self.quiet_seconds, self.most_seconds)
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


def design_time(
    parts: Iterable[Part],
    tests: Iterable[tuple[TestFigures, str]],
    figures: Figures,
    *,
    before: Span = _NOTHING,
    soak_seconds: float,
    most_again_seconds: float,
    with_amx: bool,
    cpu_flags: Collection[str] = (),
) -> DesignTime:
    """The time of what comes ``before``, of these parts, and of tests with their engines.

    Without AMX that of the arms and tests which need none. An arm whose ceiling needs more than the
    CPU's flags takes no time; where these are not known every arm counts. ``soak_seconds`` is the
    user's;
    ``most_again_seconds`` limits all second measurements, of which one that has begun is finished.
    """
    total = before
    again: list[float] = []
    unknown: list[str] = []
    rows = {row.workload: row for row in figures.trial}
    for part in parts:
        row = rows.get(str(part.trial.workload))
        if row is None:
            unknown.append(part.trial.name)
            continue
        first, second = _trial_seconds(part, row, figures, cpu_flags, with_amx=with_amx)
        total += first
        again.append(second)
    for test, engine in tests:
        if with_amx or not test.needs_amx:
            total += test.seconds + test.engine_seconds * figures.engines.get(engine, _ONCE)
            total += Span(soak_seconds, soak_seconds) if test.soak else _NOTHING
    if again:
        total += Span(0.0, min(sum(again), most_again_seconds + max(again)))
    return DesignTime(total.quiet, total.most, tuple(unknown))


def launches_time(
    parts: Iterable[Part], figures: Figures, *, launches: int, rounds: int
) -> DesignTime:
    """The time of so many launches of each trial, of that many rounds, which wait for nothing."""
    total, unknown = figures.start, []
    rows = {row.workload: row for row in figures.trial}
    for part in parts:
        trial, row = part.trial, rows.get(str(part.trial.workload))
        if row is None or part.budget_seconds is None:
            unknown.append(trial.name)
            continue
        scale, share = _scale(trial, row, figures), launches / len(row.step)
        round_ = 0.0
        for arm in trial.arms:
            total += row.prepare * figures.engines.get(arm.engine, _ONCE) * Span(share, share)
            step = row.step.get(f"{arm.precision}@{arm.isa}", max(row.step.values()))
            round_ += _slice(step * scale)
        timed = launches * _launch(round_, part.budget_seconds, rounds).quiet
        total += Span(timed, timed)
    return DesignTime(total.quiet, total.most, tuple(unknown))


def _trial_seconds(
    part: Part,
    row: TrialFigures,
    figures: Figures,
    cpu_flags: Collection[str],
    *,
    with_amx: bool,
) -> tuple[Span, float]:
    """What the trial takes, and the most of its second measurement, 0 if there can be none."""
    trial = part.trial
    arms = [
        arm
        for arm in trial.arms
        if (with_amx or not arm.isa.allows_amx)
        and (not cpu_flags or arm.isa.runs_on(cpu_flags))
        and ENGINES[arm.engine].why_not(arm.workload.mode, arm.precision) is None
    ]
    share = len(arms) / len(row.step)
    engine = figures.engines.get(trial.arms[0].engine, _ONCE)
    prepare = row.prepare * engine * Span(share, share)
    checks = row.checks * engine if part.checked else _NOTHING
    if part.budget_seconds is None:
        return prepare + checks, 0.0
    scale = _scale(trial, row, figures)
    reading = READING_SECONDS * len(trial.units) if with_amx else 0.0
    # What was not measured counts as the longest.
    steps = (row.step.get(arm.arm, max(row.step.values())) for arm in arms)
    round_ = sum(_slice(step * scale) + reading for step in steps)
    if not with_amx:
        return prepare + checks + Span(SHOWN_ROUNDS * round_, SHOWN_ROUNDS * round_), 0.0
    once = prepare + _launch(round_, part.budget_seconds)
    if part.again:
        return once, once.most
    # At most it has its second launch.
    return once + checks + Span(0.0, once.most), once.most


def _scale(trial: Trial, row: TrialFigures, figures: Figures) -> float:
    """How much longer a step is on this trial's shape and cores than in the row."""
    workload, measured = WORKLOADS[trial.workload.model], Shape.parse(row.shape)
    items = workload.items_per_step(trial.shape) / workload.items_per_step(measured)
    return items * figures.cores / trial.arms[0].cores


def _slice(step_seconds: float) -> float:
    return step_seconds * max(1, math.ceil(SLICE_SECONDS / step_seconds))


def _launch(round_: float, budget: float, rounds: int = ROUNDS) -> Span:
    """A launch: quiet until it has its rounds, at most until no rule of ``trial.measure`` goes on.

    It looks at the clock before a slice, so that up to a round is finished beyond the limit.
    """

    def limit(seconds: float) -> float:
        """Beyond its budget it goes on only while nothing but time is missing."""
        return max(budget, min(seconds, MOST_BUDGETS * budget))

    quiet = min(rounds * round_, limit(LEAST_ROUNDS * round_))
    return Span(quiet, limit(LEAST_ROUNDS * round_ / (1.0 - MOST_LOST)) + round_)


def _text(quiet: float, most: float) -> str:
    """The two in whole minutes, or in seconds if they are short; the most is rounded up."""
    if most < 120.0:
        return f"{max(1, round(quiet))} to {math.ceil(most)} s"
    return f"{max(1, round(quiet / 60.0))} to {math.ceil(most / 60.0)} min"
