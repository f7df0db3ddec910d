"""What one pytest run knows: settings, gates, host and trials, each made once and when needed."""

from __future__ import annotations

__all__ = [
    "COLLECTOR",
    "GATES",
    "NOTES",
    "OUTPUT",
    "SETTINGS",
    "HostView",
    "baseline_lines",
    "calibration",
    "check_engines",
    "host",
    "keep_machines_apart",
    "output_folder",
    "passed",
    "peaks",
    "reference_line",
    "run_line",
    "start_cycle_probe",
    "store",
    "summary",
    "trials_of_run",
    "worker_on",
]

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from amx_suite.calibration.calibrate import DEFAULT_SECONDS, calibrate, is_worth_keeping
from amx_suite.calibration.storage import default_path, load_calibration, save_calibration
from amx_suite.core.case import RunCase
from amx_suite.core.gate import Gate
from amx_suite.core.isa import Isa
from amx_suite.core.peaks import Peaks
from amx_suite.core.quiet import MEMORY_WITHIN, QUIET_WITHIN, Calibration, Reference
from amx_suite.core.run import RunSummary
from amx_suite.core.trial import Trial
from amx_suite.core.units import Unit
from amx_suite.engines import ENGINES
from amx_suite.errors import EngineUnavailableError, NotApplicableError, OutputError
from amx_suite.host import HostFacts, Support, detect, host_traits, theory_of
from amx_suite.host.doctor import header_lines
from amx_suite.options import DEFAULT_OUTPUT, Settings
from amx_suite.testing import baseline
from amx_suite.testing.collector import Collector
from amx_suite.testing.selection import bound_cpus, engine_trials, level_of, trials_for
from amx_suite.testing.store import TrialStore
from amx_suite.testing.terminal import ProgressLine, TerminalProgress
from amx_suite.workloads.base import Inputs

if TYPE_CHECKING:
    from amx_suite.trial.session import TrialSession
    from amx_suite.worker.process import IsaWorker
    from amx_suite.worker.unit_probe import UnitProbe

SETTINGS = pytest.StashKey[Settings]()
GATES = pytest.StashKey[Sequence[Gate]]()
COLLECTOR = pytest.StashKey[Collector]()
#: The folder of a whole qualification, where there is one.
OUTPUT = pytest.StashKey[Path]()
#: How the baseline differs where the user allowed it; keys only, each sentence once.
NOTES = pytest.StashKey[dict[str, None]]()
_HOST = pytest.StashKey["HostView"]()
_CALIBRATION = pytest.StashKey[Calibration | None]()
_REFERENCE = pytest.StashKey[Reference | None]()
_PEAKS = pytest.StashKey[Peaks]()
_STORE = pytest.StashKey[TrialStore]()


#: Readings of about 20 ms of each unit from which its peak is taken.
_PEAK_READINGS = 10


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


def output_folder(config: pytest.Config) -> Path:
    """Where files of this run go that cannot wait for its end."""
    return config.stash.get(OUTPUT, None) or config.stash[SETTINGS].output or DEFAULT_OUTPUT


def check_engines(settings: Settings) -> None:
    """Raise EngineUnavailableError for an engine that the user named and that is not available."""
    for name in settings.engines:
        reason = ENGINES[name].why_unavailable()
        if reason is not None:
            raise EngineUnavailableError(f"engine '{name}' cannot be used here: {reason}")


def trials_of_run(settings: Settings) -> tuple[Trial, ...]:
    """Every trial of the run that may have gates, engine by engine."""
    return tuple(trial for engine in settings.engines for trial in trials_for(settings, engine))


def calibration(config: pytest.Config) -> Calibration | None:
    """This machine's stored calibration, None if there is none; read on the first call."""
    if _CALIBRATION not in config.stash:
        settings = config.stash[SETTINGS]
        config.stash[_CALIBRATION] = load_calibration(
            settings.reference, host(config).fingerprint, settings.threads
        )
    return config.stash[_CALIBRATION]


def reference_line(config: pytest.Config) -> str:
    """One line for the header: what quiet is judged by."""
    found = calibration(config)
    if found is None:
        return (
            "amx quiet: no reference of this machine is stored, so its units are read for "
            f"{DEFAULT_SECONDS:g} s before the first trial"
        )
    rates = ", ".join(
        f"{unit} {rate / 1e9:.1f}e9 bytes/s" if unit is Unit.MEMORY else f"{unit} {rate:g} a cycle"
        for unit, rate in found.reference.rates.items()
    )
    return (
        f"amx quiet: each CPU within {QUIET_WITHIN:g} (memory {MEMORY_WITHIN:g}) of the reference "
        f"of {found.taken}: {rates}"
    )


def reference(config: pytest.Config) -> Reference | None:
    """What quiet means here: the stored reference, else one that is taken now and stored.

    None where no unit of this CPU can be read.
    """
    if _REFERENCE not in config.stash:
        known = calibration(config)
        if known is None:
            with contextlib.suppress(NotApplicableError):
                known = _calibrate(config)
        config.stash[_REFERENCE] = None if known is None else known.reference
    return config.stash[_REFERENCE]


def _calibrate(config: pytest.Config) -> Calibration:
    """Take a calibration, and store it if it serves later runs."""
    settings, view, line = config.stash[SETTINGS], host(config), ProgressLine(config)
    with start_prober(config) as prober:
        found = calibrate(
            prober,
            DEFAULT_SECONDS,
            theory=theory_of(view.facts),
            machine=view.fingerprint,
            threads=settings.threads,
            progress=lambda passed: line.show(
                f"reading what this machine's units give when quiet: {passed:.0f} of "
                f"{DEFAULT_SECONDS:g} s",
                seldom=True,
            ),
        )
    if is_worth_keeping(found, None):
        try:
            save_calibration(found, default_path(view.fingerprint, settings.threads))
        except OutputError as error:
            line.show(f"the quiet reference was not stored: {error}", keep=True)
    return found


def run_line(settings: Settings) -> str:
    """One line for the header: level, engines, threads, seed, and each trial's shape."""
    trials = [f"{trial.name} {trial.shape}" for trial in trials_of_run(settings)]
    beside = len(engine_trials(settings))
    trials += [f"{beside} of engines side by side"] if beside else []
    return (
        f"amx run: level {settings.level}, engines: {', '.join(settings.engines) or 'none'}, "
        f"threads {settings.threads}, seed {settings.seed}, trials: {', '.join(trials) or 'none'}"
    )


def worker_on(config: pytest.Config, isa: Isa, engine: str, label: str = "") -> IsaWorker:
    """Start a worker under a ceiling with this run's threads."""
    from amx_suite.worker.process import IsaWorker

    threads = config.stash[SETTINGS].threads
    return IsaWorker(isa, engine, threads=threads, cpus=bound_cpus(threads), label=label)


def start_prober(config: pytest.Config) -> UnitProbe:
    """Start the child that reads the machine between slices."""
    from amx_suite.worker.unit_probe import UnitProbe

    return UnitProbe(bound_cpus(config.stash[SETTINGS].threads))


def start_cycle_probe(config: pytest.Config) -> UnitProbe:
    """Start the child that reads what the units of every allowed CPU do per cycle."""
    from amx_suite.worker.unit_probe import UnitProbe

    return UnitProbe(host(config).facts.allowed_cpus)


def peaks(config: pytest.Config) -> Peaks:
    """What the units of this run's CPUs give at most, read on the first call."""
    if _PEAKS not in config.stash:
        with start_prober(config) as prober:
            config.stash[_PEAKS] = prober.measure_peaks(_PEAK_READINGS)
    return config.stash[_PEAKS]


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


def passed(config: pytest.Config) -> tuple[str, ...]:
    """Ids of the conformance tests that passed."""
    return config.stash[COLLECTOR].passed


def keep_machines_apart(config: pytest.Config) -> None:
    """Have pytest-benchmark save and look up its runs in this machine's own folder."""
    # Detection takes its time, so only where there is something to save or to look up.
    if any(config.getoption(f"benchmark_{what}") for what in ("save", "autosave", "compare")):
        config.option.benchmark_storage = baseline.storage_of_machine(
            config.getoption("benchmark_storage"), host(config).fingerprint
        )


def baseline_lines(config: pytest.Config) -> tuple[str, ...]:
    """What the user should know of the baseline: how it differs, and what it has more of."""
    collector = config.stash[COLLECTOR]
    checks = summary(config).checks
    missing = baseline.missing_rows(
        config._benchmarksession,  # type: ignore[attr-defined]
        checks,
        collector.deselected,
    )
    return (*config.stash[NOTES], *(f"in the baseline, not in this run: {row}" for row in missing))


def _session(config: pytest.Config, trial: Trial) -> TrialSession:
    from amx_suite.trial.session import TrialSession

    settings = config.stash[SETTINGS]

    def start(case: RunCase) -> IsaWorker:
        return worker_on(config, case.isa, case.engine, case.id)

    # Where rows are disabled speed is not judged.
    judged = not config._benchmarksession.disabled  # type: ignore[attr-defined]
    return TrialSession(
        trial,
        config.stash[GATES],
        start=start,
        start_prober=lambda: start_prober(config),
        host=host(config).fingerprint,
        cpus=bound_cpus(settings.threads),
        peaks=peaks(config),
        budget_seconds=settings.budget_of(level_of(trial)),
        reference=reference(config) if judged else None,
        inputs=Inputs(None if settings.data is None else str(settings.data), settings.download),
        # Arms that are compared with other engines' have trained in their own trials.
        checkpoints=None if trial.engines else settings.checkpoint,
        progress=TerminalProgress(config),
    )
