"""How long a run takes by design, and what is left of it."""

from __future__ import annotations

__all__ = ["run_time", "time_left"]

from collections.abc import Collection, Iterable

import msgspec
import pytest

from amx_suite.core.trial import Trial
from amx_suite.plugin.options import Settings
from amx_suite.plugin.selection import engine_of, is_timed, level_of, trial_of, trials_of
from amx_suite.plugin.trials import MOST_SECONDS
from amx_suite.trial.design_time import DesignTime, Part, design_time, load_figures, whole_level


def run_time(settings: Settings, *, timed: bool = True, with_amx: bool = True) -> DesignTime:
    """The design time of a whole run of the level, engines, cores and budget chosen.

    Without AMX that of what needs none.
    """
    figures = load_figures()
    parts = whole_level(
        settings.level,
        {trial: settings.budget_of(level_of(trial)) for trial in trials_of(settings)},
        settings.engines,
        figures,
    )
    if not timed:
        parts = [msgspec.structs.replace(part, budget_seconds=None) for part in parts]
    return design_time(
        parts,
        figures,
        soak_seconds=settings.soak_seconds,
        most_again_seconds=MOST_SECONDS,
        from_start=True,
        with_amx=with_amx,
    )


def time_left(
    items: Iterable[pytest.Item],
    again: Collection[Trial],
    settings: Settings,
    *,
    timed: bool,
    with_amx: bool,
    most_again_seconds: float,
) -> DesignTime:
    """The design time of these tests, which are those that a run has still to do.

    ``again`` are the trials of which only the second measurement is left. Tests that are not in the
    table of figures take no time.
    """
    figures = load_figures()
    parts: dict[tuple[str, Trial | None], Part] = {}
    for item in items:
        trial = trial_of(item)
        names = {row.test for row in figures.test if row.test in item.nodeid}
        engine = engine_of(item)
        part = parts.get((engine, trial)) or Part(engine, trial, again=trial in again)
        budget = part.budget_seconds
        if trial is not None and timed and is_timed(item):
            budget = settings.budget_of(level_of(trial))
        parts[engine, trial] = msgspec.structs.replace(
            part, budget_seconds=budget, tests=part.tests | names
        )
    return design_time(
        parts.values(),
        figures,
        soak_seconds=settings.soak_seconds,
        most_again_seconds=most_again_seconds,
        from_start=False,
        with_amx=with_amx,
    )
