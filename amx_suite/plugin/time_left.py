"""How long a run takes by design, and what is left of it."""

from __future__ import annotations

__all__ = ["run_time", "time_left"]

from collections.abc import Collection, Sequence

import pytest

from amx_suite.core.trial import Trial
from amx_suite.plugin.options import Settings
from amx_suite.plugin.selection import engine_of, is_timed, level_of, trial_of, trials_of
from amx_suite.plugin.trials import MOST_SECONDS
from amx_suite.trial.calibrate import DEFAULT_SECONDS
from amx_suite.trial.design_time import DesignTime, Part, Span, design_time, load_figures

#: The tests that compare a trial's numbers, and the first level that has them.
_CHECKS, _CHECKS_LEVEL = "test_models.py", 3


def run_time(
    settings: Settings,
    *,
    timed: bool = True,
    with_amx: bool = True,
    cpu_flags: Collection[str] = (),
) -> DesignTime:
    """The design time of a whole run of the level, engines, cores and budget chosen.

    Without AMX that of what needs none; without ``cpu_flags`` that of a CPU with every ceiling.
    """
    figures = load_figures()
    parts = [
        Part(
            trial,
            settings.budget_of(level_of(trial)) if timed else None,
            checked=settings.level >= _CHECKS_LEVEL,
        )
        for trial in trials_of(settings)
    ]
    tests = [
        (row, engine)
        for row in figures.test
        if row.level <= settings.level
        for engine in (settings.engines if row.engine_seconds.most else ("",))
    ]
    # Where no quiet reference is stored, one is measured first.
    reference = DEFAULT_SECONDS if parts and timed and with_amx else 0.0
    return design_time(
        parts,
        tests,
        figures,
        before=figures.start + Span(0.0, reference),
        soak_seconds=settings.soak_seconds,
        most_again_seconds=MOST_SECONDS,
        with_amx=with_amx,
        cpu_flags=cpu_flags,
    )


def time_left(
    items: Sequence[pytest.Item],
    again: Collection[Trial],
    settings: Settings,
    *,
    timed: bool,
    with_amx: bool,
    cpu_flags: Collection[str],
    most_again_seconds: float,
) -> DesignTime:
    """The design time of these tests, which are those that a run has still to do.

    ``again`` are the trials of which only the second measurement is left. Tests that are not in the
    table of figures take no time.
    """
    figures = load_figures()
    of_trials: dict[Trial, list[pytest.Item]] = {}
    for item in items:
        trial = trial_of(item)
        if trial is not None:
            of_trials.setdefault(trial, []).append(item)
    return design_time(
        [
            Part(
                trial,
                settings.budget_of(level_of(trial)) if timed and any(map(is_timed, own)) else None,
                checked=any(_CHECKS in item.nodeid for item in own),
                again=trial in again,
            )
            for trial, own in of_trials.items()
        ],
        {
            (row, engine_of(item))
            for row in figures.test
            for item in items
            if row.test in item.nodeid
        },
        figures,
        soak_seconds=settings.soak_seconds,
        most_again_seconds=most_again_seconds,
        with_amx=with_amx,
        cpu_flags=cpu_flags,
    )
