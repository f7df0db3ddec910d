"""Which trials and tests a run has, and with which parameters."""

from __future__ import annotations

__all__ = [
    "CONFORMANCE_MARKERS",
    "MARKER_LINES",
    "arm_of",
    "arms_of",
    "engine_of",
    "is_ours",
    "is_timed",
    "level_of",
    "parametrize",
    "select",
    "trial_of",
    "trials_of",
]

import functools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from amx_suite.core.case import Arm, Mode, RunCase, Workload
from amx_suite.core.trial import Trial, ceilings
from amx_suite.engines import ENGINES
from amx_suite.host.cpuinfo import read_cpuinfo
from amx_suite.trial.decide import gates_of
from amx_suite.trial.whole_machine import whole_machine_cases
from amx_suite.workloads import WORKLOADS

if TYPE_CHECKING:
    from amx_suite.core.gate import Gate
    from amx_suite.plugin.options import Settings
    from amx_suite.workloads.base import ModelWorkload

#: Markers of the tests that judge a machine, with the question that each one asks.
CONFORMANCE_MARKERS = {
    "detection": 'is AMX present, and does every "no" name its reason',
    "instruction": "each tile instruction bit for bit against a reference model",
    "dispatch": "do the libraries use AMX where they may, and only there",
    "correctness": "are outputs, gradients and losses accurate enough",
    "performance": "is AMX as fast as its gates demand",
}

_OTHER_MARKERS = {
    "selftest": "the suite's own tests; they pass on any Linux machine",
    "fleet": "real clusters and dashboards; skipped with what to install where they are missing",
    "level(n)": "the lowest level at which this conformance test runs",
    "trials(model=..., mode=...)": "the trials that a test of amx_trial runs for; all without it",
}
#: Every marker of the suite, as pytest's configuration wants it.
MARKER_LINES = tuple(
    f"{name}: {meaning}" for name, meaning in {**CONFORMANCE_MARKERS, **_OTHER_MARKERS}.items()
)


def trials_of(settings: Settings) -> tuple[Trial, ...]:
    """One trial for each engine, and workload and mode of the level, at the level's shape."""
    return tuple(
        Trial.of(
            Workload(model, mode),
            engine,
            workload.shapes[mode, level],
            cores=settings.instance.cores,
            seed=settings.seed,
            weights=settings.weights_of(model),
            cpu_flags=_cpu_flags(),
        )
        for engine in settings.engines
        for model, workload in WORKLOADS.items()
        for mode in Mode
        if (level := _level_in(workload, mode, settings.level))
    )


@functools.cache
def _cpu_flags() -> tuple[str, ...]:
    return read_cpuinfo().flags


def _level_in(workload: ModelWorkload, mode: Mode, level: int) -> int:
    """The highest level up to the given one at which the workload has a shape; 0 if none."""
    levels = [known for (m, known) in workload.shapes if m is mode and known <= level]
    return max(levels, default=0)


def level_of(trial: Trial) -> int:
    """The level to which a trial's shape belongs."""
    mode = trial.workload.mode
    shapes = WORKLOADS[trial.workload.model].shapes
    return next(level for (m, level), shape in shapes.items() if (m, shape) == (mode, trial.shape))


def parametrize(metafunc: pytest.Metafunc, settings: Settings, gates: Sequence[Gate]) -> None:
    """Parametrize a test: over trials (with arms or gates), the whole machine's cases, or engines.

    Over ceilings as well, if it asks for a worker under one.

    ``@pytest.mark.trials(model=..., mode=...)`` narrows the trials. Raises pytest.UsageError for a
    test that asks for both arms and gates.
    """
    asked = metafunc.fixturenames
    if "amx_trial" in asked:
        names, values = _trial_parameters(metafunc, settings, gates)
        metafunc.parametrize(names, values, indirect=["amx_trial"])
    elif "amx_whole_machine" in asked:
        cases = whole_machine_cases(trials_of(settings))
        values = [pytest.param(case, id=case.name) for case in cases]
        metafunc.parametrize(
            "amx_whole_machine", values if settings.engines else _no_engine(1), indirect=True
        )
    elif "amx_engine" in asked:
        values = [pytest.param(name, id=name) for name in settings.engines] or _no_engine(1)
        metafunc.parametrize("amx_engine", values, indirect=True)
    if "isa_worker" in asked:
        metafunc.parametrize("isa_worker", ceilings(), indirect=True, ids=str)


def _trial_parameters(
    metafunc: pytest.Metafunc, settings: Settings, gates: Sequence[Gate]
) -> tuple[list[str], list[Any]]:
    extra = [name for name in ("amx_arm", "amx_gate") if name in metafunc.fixturenames]
    if len(extra) > 1:
        raise pytest.UsageError(
            f"{metafunc.function.__name__} asks for both {' and '.join(extra)}; ask for one"
        )
    names = ["amx_trial", *extra]
    if not settings.engines:
        return names, _no_engine(len(names))
    trials = list(_marked(metafunc, trials_of(settings)))
    if extra == ["amx_arm"]:
        return names, [
            pytest.param(trial, arm, id=arm.name) for trial in trials for arm in trial.arms
        ]
    if extra == ["amx_gate"]:
        return names, [
            pytest.param(trial, gate, id=f"{candidate.name}-vs-{gate.versus}")
            for trial in trials
            for gate, candidate, _ in gates_of(trial, gates)
        ]
    return names, [pytest.param(trial, id=trial.name) for trial in trials]


def _marked(metafunc: pytest.Metafunc, trials: Sequence[Trial]) -> Iterator[Trial]:
    marker = metafunc.definition.get_closest_marker("trials")
    wanted = marker.kwargs if marker else {}
    for trial in trials:
        found = {"model": trial.workload.model, "mode": trial.workload.mode}
        if all(found[key] == value for key, value in wanted.items()):
            yield trial


def _no_engine(width: int) -> list[Any]:
    """One skipped parameter set that says why no engine is available."""
    reasons = "; ".join(f"{name}: {engine.why_unavailable()}" for name, engine in ENGINES.items())
    skip = pytest.mark.skip(reason=f"no engine is available here: {reasons}")
    return [pytest.param(*[None] * width, id="no-engine", marks=skip)]


def trial_of(item: pytest.Item) -> Trial | None:
    """The trial that a test is about, None if it is about none."""
    trial = _parameter(item, "amx_trial")
    return trial if isinstance(trial, Trial) else None


def engine_of(item: pytest.Item) -> str:
    """The engine that a test is about, by its trial, run case or name; empty without one."""
    callspec = getattr(item, "callspec", None)
    for name, value in callspec.params.items() if callspec else ():
        if isinstance(value, Trial):
            return value.arms[0].engine
        if isinstance(value, RunCase):
            return value.engine
        if name == "amx_engine":
            return value or ""
    return ""


def arm_of(item: pytest.Item) -> Arm | None:
    """The arm that a test is about, None if it is about none or all of a trial's."""
    arm = _parameter(item, "amx_arm")
    return arm if isinstance(arm, Arm) else None


def arms_of(item: pytest.Item) -> tuple[Arm, ...]:
    """The arms that a test is about: those of its trial, or its case of the whole machine."""
    trial = trial_of(item)
    if trial is not None:
        return trial.arms
    case = _parameter(item, "amx_whole_machine")
    return (case,) if isinstance(case, Arm) else ()


def _parameter(item: pytest.Item, name: str) -> object:
    callspec = getattr(item, "callspec", None)
    return callspec.params.get(name) if callspec else None


def is_ours(test: pytest.Item | pytest.Metafunc) -> bool:
    """Whether a test uses the suite's fixtures; other projects may use the same markers."""
    # All fixtures of the suite use it. Another project may have some of the same names.
    return "_amx_run" in getattr(test, "fixturenames", ())


def is_timed(item: pytest.Item) -> bool:
    """Whether a test of the suite times the machine."""
    return is_ours(item) and item.get_closest_marker("performance") is not None


def select(items: Sequence[pytest.Item], level: int) -> tuple[list[pytest.Item], list[pytest.Item]]:
    """The items to run, in order, and those whose ``level`` marker is above the run's level.

    Tests of one trial stay together, because its workers are closed when another trial is opened.
    Its timed tests come first: the evidence taken after the last round serves the others.
    """
    kept: list[pytest.Item] = []
    above: list[pytest.Item] = []
    for item in items:
        marker = item.get_closest_marker("level") if is_ours(item) else None
        (above if marker and marker.args[0] > level else kept).append(item)
    first: dict[str, int] = {}

    def place(numbered: tuple[int, pytest.Item]) -> tuple[int, bool]:
        number, item = numbered
        trial = trial_of(item)
        if trial is None:
            return number, False
        return first.setdefault(trial.name, number), not is_timed(item)

    return [item for _, item in sorted(enumerate(kept), key=place)], above
