"""Which parameters a test gets from the suite's fixtures that it asks for."""

from __future__ import annotations

__all__ = ["generate"]

from typing import TYPE_CHECKING, Any

import pytest

from amx_suite.core.trial import ceilings
from amx_suite.engines import ENGINES
from amx_suite.testing.selection import engine_trials, trials_for
from amx_suite.trial.decide import gates_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from amx_suite.core.gate import Gate
    from amx_suite.core.trial import Trial
    from amx_suite.options import Settings


def generate(metafunc: pytest.Metafunc, settings: Settings, gates: Sequence[Gate]) -> None:
    """Parametrise a test over trials (with arms or gates), engines or ceilings.

    A test of ``amx_trial`` and ``amx_rival`` is given the trials that compare engines, once for
    each engine but the first.
    ``@pytest.mark.trials(model=..., mode=...)`` narrows the trials.
    """
    asked = set(metafunc.fixturenames)
    if "amx_trial" in asked:
        names, values = _trial_parameters(metafunc, settings, gates)
        metafunc.parametrize(names, values, indirect=["amx_trial"])
    elif "amx_engine" in asked:
        engines = settings.engines
        metafunc.parametrize("amx_engine", engines or _no_engine(1), ids=list(engines) or None)
    if "isa_worker" in asked:
        metafunc.parametrize("isa_worker", ceilings(), indirect=True, ids=str)


def _trial_parameters(
    metafunc: pytest.Metafunc, settings: Settings, gates: Sequence[Gate]
) -> tuple[list[str], list[Any]]:
    extras = ("amx_arm", "amx_gate", "amx_rival")
    extra = [name for name in extras if name in metafunc.fixturenames]
    if len(extra) > 1:
        raise pytest.UsageError(
            f"{metafunc.function.__name__} asks for both {' and '.join(extra)}; ask for one"
        )
    names = ["amx_trial", *extra]
    if not settings.engines:
        return names, _no_engine(len(names))
    if extra == ["amx_rival"]:
        rivals = [
            pytest.param(trial, arm, id=f"{arm.name}-vs-{trial.engines[0]}")
            for trial in _narrowed(metafunc, engine_trials(settings))
            for arm in trial.arms[1:]
        ]
        return names, rivals or _no_rival(settings)
    trials = _narrowed(
        metafunc, (trial for name in settings.engines for trial in trials_for(settings, name))
    )
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


def _narrowed(metafunc: pytest.Metafunc, trials: Iterable[Trial]) -> Iterator[Trial]:
    marker = metafunc.definition.get_closest_marker("trials")
    wanted = marker.kwargs if marker else {}
    for trial in trials:
        found = {"model": trial.workload.model, "mode": trial.workload.mode}
        if all(found[key] == value for key, value in wanted.items()):
            yield trial


def _no_engine(width: int) -> list[Any]:
    """One skipped parameter that says why no engine is available."""
    reasons = "; ".join(f"{name}: {engine.why_unavailable()}" for name, engine in ENGINES.items())
    return _skipped(width, "no-engine", f"no engine is available here: {reasons}")


def _no_rival(settings: Settings) -> list[Any]:
    """One skipped parameter that says why no engines are compared."""
    reason = (
        f"engines are compared from level 3 on where there are two: this run has level "
        f"{settings.level} and {', '.join(settings.engines)}"
    )
    return _skipped(2, "no-rival", reason)


def _skipped(width: int, name: str, reason: str) -> list[Any]:
    return [pytest.param(*[None] * width, id=name, marks=pytest.mark.skip(reason=reason))]
