"""What one pytest run knows: settings, gates, host and trials, each made once and when needed."""

from __future__ import annotations

__all__ = [
    "COLLECTOR",
    "GATES",
    "SETTINGS",
    "HostView",
    "check_engines",
    "host",
    "run_line",
    "store",
    "summary",
    "trials_of_run",
    "worker_on",
]

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec
import pytest

from amx_suite.core.case import RunCase
from amx_suite.core.gate import Gate
from amx_suite.core.isa import Isa
from amx_suite.core.run import RunSummary
from amx_suite.core.trial import Trial
from amx_suite.engines import ENGINES
from amx_suite.errors import EngineUnavailableError
from amx_suite.host import HostFacts, Support, detect, host_traits
from amx_suite.host.doctor import header_lines
from amx_suite.options import Settings
from amx_suite.testing.collector import Collector
from amx_suite.testing.selection import bound_cpus, level_of, trials_for
from amx_suite.testing.store import TrialStore
from amx_suite.testing.terminal import TerminalProgress
from amx_suite.workloads.base import Inputs

if TYPE_CHECKING:
    from amx_suite.trial.session import TrialSession
    from amx_suite.worker.process import IsaWorker

SETTINGS = pytest.StashKey[Settings]()
GATES = pytest.StashKey[Sequence[Gate]]()
COLLECTOR = pytest.StashKey[Collector]()
_HOST = pytest.StashKey["HostView"]()
_STORE = pytest.StashKey[TrialStore]()


class HostView(msgspec.Struct, frozen=True):
    """The host as detected: facts, judgement, two header lines, and its stable fingerprint."""

    facts: HostFacts
    support: Support
    header: tuple[str, ...]
    fingerprint: dict[str, str]


def host(config: pytest.Config) -> HostView:
    """The host of this run, detected on the first call."""
    if _HOST not in config.stash:
        facts, support = detect()
        config.stash[_HOST] = HostView(
            facts, support, tuple(header_lines(facts, support)), host_traits(facts)
        )
    return config.stash[_HOST]


def check_engines(settings: Settings) -> None:
    """Raise EngineUnavailableError for an engine that the user named and that is not available."""
    for name in settings.engines:
        reason = ENGINES[name].why_unavailable()
        if reason is not None:
            raise EngineUnavailableError(f"engine '{name}' cannot be used here: {reason}")


def trials_of_run(settings: Settings) -> tuple[Trial, ...]:
    """Every trial of the run, engine by engine."""
    return tuple(trial for engine in settings.engines for trial in trials_for(settings, engine))


def run_line(settings: Settings) -> str:
    """One line for the header: level, engines, threads, seed, and each trial's shape."""
    shapes = ", ".join(f"{trial.name} {trial.shape}" for trial in trials_of_run(settings))
    return (
        f"amx run: level {settings.level}, engines: {', '.join(settings.engines) or 'none'}, "
        f"threads {settings.threads}, seed {settings.seed}, trials: {shapes or 'none'}"
    )


def worker_on(config: pytest.Config, isa: Isa, engine: str, label: str = "") -> IsaWorker:
    """Start a worker under a ceiling with this run's threads."""
    from amx_suite.worker.process import IsaWorker

    threads = config.stash[SETTINGS].threads
    return IsaWorker(isa, engine, threads=threads, cpus=bound_cpus(threads), label=label)


def start_prober(config: pytest.Config) -> IsaWorker:
    """Start the child that reads the machine between slices; it is under no ceiling."""
    return worker_on(config, Isa.AMX, "probe", "probe")


def store(config: pytest.Config) -> TrialStore:
    """The run's trials."""
    if _STORE not in config.stash:
        config.stash[_STORE] = TrialStore(lambda trial: _session(config, trial))
    return config.stash[_STORE]


def summary(config: pytest.Config) -> RunSummary:
    """The run as it stands."""
    view = host(config)
    return config.stash[COLLECTOR].summary(
        config.stash[SETTINGS], view.header, view.support, store(config).results()
    )


def _session(config: pytest.Config, trial: Trial) -> TrialSession:
    from amx_suite.trial.session import TrialSession

    settings = config.stash[SETTINGS]

    def start(case: RunCase) -> IsaWorker:
        return worker_on(config, case.isa, case.engine, case.id)

    return TrialSession(
        trial,
        config.stash[GATES],
        start=start,
        start_prober=lambda: start_prober(config),
        host=host(config).fingerprint,
        cpus=bound_cpus(settings.threads),
        budget_seconds=settings.budget_of(level_of(trial)),
        inputs=Inputs(None if settings.data is None else str(settings.data), settings.download),
        # Where rows are disabled speed is not judged, so one round shows that every arm runs.
        rounds=1 if config._benchmarksession.disabled else None,  # type: ignore[attr-defined]
        checkpoints=settings.checkpoint,
        progress=TerminalProgress(config),
    )
