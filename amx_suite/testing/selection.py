"""Which trials and which tests a run has, from the settings alone."""

from __future__ import annotations

__all__ = [
    "CONFORMANCE_MARKERS",
    "MARKER_LINES",
    "bound_cpus",
    "engine_trials",
    "level_of",
    "split_by_level",
    "trial_of",
    "trials_first",
    "trials_for",
]

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from amx_suite.core.case import Mode, Shape, Workload
from amx_suite.core.trial import Trial, arms_of
from amx_suite.workloads import WORKLOADS

if TYPE_CHECKING:
    import pytest

    from amx_suite.options import Settings
    from amx_suite.workloads.base import ModelWorkload

#: Markers of the tests that judge a machine, with the question each one asks.
CONFORMANCE_MARKERS = {
    "detection": 'is AMX present, and does every "no" name its reason',
    "instruction": "each tile instruction bit for bit against a reference model",
    "dispatch": "do the libraries use AMX where they may, and only there",
    "correctness": "are outputs, gradients and losses accurate enough",
    "performance": "is AMX as fast as its gates demand",
}
#: From this level on several engines are compared with each other; below it, there is no time to.
_ENGINES_FROM_LEVEL = 3

_OTHER_MARKERS = {
    "selftest": "the suite's own tests; they pass on any Linux machine",
    "level(n)": "the lowest level at which this conformance test runs",
    "trials(model=..., mode=...)": "which trials a test of amx_trial runs for; all without it",
}
#: Every marker of the suite as pytest's configuration wants it.
MARKER_LINES = tuple(
    f"{name}: {meaning}" for name, meaning in {**CONFORMANCE_MARKERS, **_OTHER_MARKERS}.items()
)


def trials_for(settings: Settings, engine: str) -> tuple[Trial, ...]:
    """One trial for each workload and mode that the level includes, at the level's shape."""
    return tuple(
        Trial.of(
            workload,
            engine,
            shape,
            threads=settings.threads,
            seed=settings.seed,
            weights=settings.weights_of(workload.model),
        )
        for workload, _, shape in _shapes_at(settings.level)
    )


def engine_trials(settings: Settings) -> tuple[Trial, ...]:
    """One trial of all engines for each precision of those workloads, from level 3 on.

    None where the run has fewer than two engines.
    """
    if len(settings.engines) < 2:
        return ()
    return tuple(
        Trial.of_engines(
            workload,
            precision,
            settings.engines,
            shape,
            threads=settings.threads,
            seed=settings.seed,
            weights=settings.weights_of(workload.model),
        )
        for workload, level, shape in _shapes_at(settings.level)
        if level >= _ENGINES_FROM_LEVEL
        for precision in dict(arms_of(workload.mode))
    )


def _shapes_at(level: int) -> Iterator[tuple[Workload, int, Shape]]:
    """Each workload and mode that the level includes, with its own level and that one's shape."""
    for model, workload in WORKLOADS.items():
        for mode in Mode:
            own = _level_at(workload, mode, level)
            if own:
                yield Workload(model, mode), own, workload.shapes[mode, own]


def _level_at(workload: ModelWorkload, mode: Mode, level: int) -> int:
    """The highest of the workload's levels that is not above the given one; 0 if none is."""
    levels = [known for (m, known) in workload.shapes if m is mode and known <= level]
    return max(levels, default=0)


def level_of(trial: Trial) -> int:
    """The level to which a trial's shape belongs."""
    mode = trial.workload.mode
    shapes = WORKLOADS[trial.workload.model].shapes
    return next(level for (m, level), shape in shapes.items() if (m, shape) == (mode, trial.shape))


def bound_cpus(threads: int) -> tuple[int, ...]:
    """The CPUs that workers are bound to: the first ``threads`` that this process may use."""
    return tuple(sorted(os.sched_getaffinity(0))[:threads])


def split_by_level(
    items: Iterable[pytest.Item], level: int
) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """Items to run, and items whose ``level`` marker lies above the run's level."""
    kept: list[pytest.Item] = []
    above: list[pytest.Item] = []
    for item in items:
        marker = item.get_closest_marker("level")
        (above if marker and marker.args[0] > level else kept).append(item)
    return kept, above


def trial_of(item: pytest.Item) -> Trial | None:
    """The trial that a test is about, None if it is about none."""
    callspec = getattr(item, "callspec", None)
    trial = callspec.params.get("amx_trial") if callspec else None
    return trial if isinstance(trial, Trial) else None


def trials_first(items: Sequence[pytest.Item]) -> list[pytest.Item]:
    """The items with all tests of one trial beside each other, otherwise in their order.

    A trial's workers are closed when another trial is asked for, so tests that share one must not
    be apart. The timed ones go first: the evidence taken after the last round serves the others.
    """
    first_seen: dict[str, int] = {}
    keyed: list[tuple[tuple[int, bool], pytest.Item]] = []
    for index, item in enumerate(items):
        trial = trial_of(item)
        if trial is not None:
            untimed = item.get_closest_marker("performance") is None
            keyed.append(((first_seen.setdefault(trial.name, index), untimed), item))
        else:
            keyed.append(((index, False), item))
    return [item for _, item in sorted(keyed, key=lambda pair: pair[0])]
