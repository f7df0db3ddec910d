"""Which parameters a test gets from the suite's fixtures that it asks for."""

from __future__ import annotations

__all__ = ["generate"]

from typing import TYPE_CHECKING, Any

import pytest

from amx_suite.core.isa import Isa
from amx_suite.engines import ENGINES
from amx_suite.testing.selection import trials_for
from amx_suite.trial.ruling import gates_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from amx_suite.core.gate import Gate
    from amx_suite.core.trial import Trial
    from amx_suite.options import Settings


def generate(metafunc: pytest.Metafunc, settings: Settings, gates: Sequence[Gate]) -> None:
    """Parametrise a test over trials (with arms or gates), engines or ceilings.

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
        metafunc.parametrize("isa_worker", list(Isa), indirect=True, ids=str)


def _trial_parameters(
    metafunc: pytest.Metafunc, settings: Settings, gates: Sequence[Gate]
) -> tuple[list[str], list[Any]]:
    extra = [name for name in ("amx_arm", "amx_gate") if name in metafunc.fixturenames]
    if len(extra) > 1:
        raise pytest.UsageError(
            f"{metafunc.function.__name__} asks for both amx_arm and amx_gate; ask for one"
        )
    names = ["amx_trial", *extra]
    if not settings.engines:
        return names, _no_engine(len(names))
    trials = _narrowed(metafunc, settings)
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


def _narrowed(metafunc: pytest.Metafunc, settings: Settings) -> Iterator[Trial]:
    marker = metafunc.definition.get_closest_marker("trials")
    wanted = marker.kwargs if marker else {}
    for engine in settings.engines:
        for trial in trials_for(settings, engine):
            found = {"model": trial.workload.model, "mode": trial.workload.mode}
            if all(found[key] == value for key, value in wanted.items()):
                yield trial


def _no_engine(width: int) -> list[Any]:
    """One skipped parameter that says why no engine is available."""
    reasons = "; ".join(f"{name}: {engine.why_unavailable()}" for name, engine in ENGINES.items())
    skip = pytest.mark.skip(reason=f"no engine is available here: {reasons}")
    return [pytest.param(*[None] * width, id="no-engine", marks=skip)]
