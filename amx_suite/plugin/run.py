"""What one pytest run knows: its settings, gates, host and trials."""

from __future__ import annotations

__all__ = ["QUIET", "RUN", "SETTINGS", "HostView", "Run"]

import contextlib
import time
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import pytest

from amx_suite.accuracy.known_defects import stale
from amx_suite.core.health import Health
from amx_suite.core.isa import Isa
from amx_suite.core.peaks import Peaks
from amx_suite.core.run import Check, CheckOutcome, RunSummary
from amx_suite.core.trial import Trial
from amx_suite.core.whole_machine import WholeMachineResult
from amx_suite.engines import ENGINES
from amx_suite.errors import EngineUnavailableError, NotApplicableError, OutputError
from amx_suite.files import ensure_writable, new_temporary_folder, write_atomically
from amx_suite.gates.loader import gates_that_fit, load_gates
from amx_suite.gates.waivers import Waiver, load_waivers, waiver_of, warnings_of
from amx_suite.host.doctor import header_lines
from amx_suite.host.facts import HostFacts
from amx_suite.host.fingerprint import host_traits
from amx_suite.host.health_rules import judge_run
from amx_suite.host.lock import MachineLock
from amx_suite.host.reasons import Support
from amx_suite.host.snapshot import read_health, read_identity
from amx_suite.host.support import detect
from amx_suite.plugin import baseline, terminal
from amx_suite.plugin.header import quiet_line, run_line, without_amx_lines
from amx_suite.plugin.options import DEFAULT_OUTPUT, Settings
from amx_suite.plugin.outcome import presence, why_not_usable
from amx_suite.plugin.progress import ProgressLine
from amx_suite.plugin.reference import QuietReference
from amx_suite.plugin.selection import is_timed, level_of
from amx_suite.plugin.time_left import run_time, time_left
from amx_suite.plugin.trials import MOST_SECONDS, AmxTrial, Trials
from amx_suite.trial.decide import ROUNDS, SHOWN_ROUNDS
from amx_suite.workloads import WORKLOADS
from amx_suite.workloads.base import Inputs

if TYPE_CHECKING:
    from pytest_benchmark.session import BenchmarkSession

    from amx_suite.trial.design_time import DesignTime
    from amx_suite.worker.process import IsaWorker
    from amx_suite.worker.unit_probe import UnitProbe

#: Where ``config.stash`` holds the run.
RUN = pytest.StashKey["Run"]()
#: The settings of ``amx-suite qualify``, which writes the result files itself.
SETTINGS = pytest.StashKey[Settings]()
#: Whether the run prints a line for each trial and folder of tests only (``plugin.quiet``).
QUIET = pytest.StashKey[bool]()

#: Readings of about 20 ms of each unit from which its peak is taken.
_PEAK_READINGS = 10


class HostView(msgspec.Struct, frozen=True):
    """The host as detected: facts and judgement."""

    facts: HostFacts
    support: Support

    @property
    def fingerprint(self) -> dict[str, str]:
        """The traits that tell this machine from others."""
        return host_traits(self.facts)


class Run:
    """One pytest run. What takes time is made when it is first needed, and kept.

    Raises AmxSuiteError for settings that cannot be used. ``checks`` says how each conformance test
    ended, by test id; ``deselected`` are the ids of tests that the user left out. ``notes`` are
    sentences on how a baseline differs where the user allowed it; they are keys, so that each is
    there once. ``whole_machine`` holds what was measured of the whole machine.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._qualifying = SETTINGS in config.stash
        self.settings = (
            config.stash[SETTINGS] if self._qualifying else Settings.read(config.option, "amx-")
        )
        self.is_quiet = config.stash.get(QUIET, False)
        self.gates = gates_that_fit(load_gates(self.settings.gates))
        self._waivers = load_waivers(self.settings.waivers)
        self._used_waivers: set[Waiver] = set()
        self._today = datetime.now(UTC).date()
        self.progress = ProgressLine(config, quiet=self.is_quiet)
        self.checks: dict[str, Check] = {}
        self.deselected: set[str] = set()
        self.interrupted = False
        self.ended_by = ""
        self.notes: dict[str, None] = {}
        self.whole_machine: list[WholeMachineResult] = []
        self._writes_summary = self.settings.output is not None and not self._qualifying
        self._health_before: Health | None = None
        self._health_after: Health | None = None
        self._lock = MachineLock()
        self._began = time.monotonic()
        self._ended: float | None = None
        self._started = datetime.now(UTC).isoformat(timespec="seconds")
        self._check_settings()

    def _check_settings(self) -> None:
        for name in self.settings.engines:
            reason = ENGINES[name].why_unavailable()
            if reason is not None:
                raise EngineUnavailableError(f"engine '{name}' cannot be used here: {reason}")
        if self.settings.reference is not None:
            _ = self.quiet.stored
        for model, weights in self.settings.weights:
            WORKLOADS[model].check_weights(weights)
        baseline.check_argument(self._config.getoption("benchmark_compare", None))
        self._check_outputs()

    def _check_outputs(self) -> None:
        """Raise OutputError for a folder that something will be written to and cannot be."""
        rows = self._config.getoption("benchmark_json", None)
        written = None if rows is None or self._qualifying else rows.absolute().parent
        for folder in (self.settings.output, self.settings.checkpoint, written):
            if folder is not None:
                ensure_writable(folder)
        # Every child writes there.
        new_temporary_folder("amx-suite-").rmdir()

    def narrow_storage(self) -> None:
        """Give pytest-benchmark a folder of its own for this machine."""
        # Detection takes time, so only where a run is saved or looked up.
        options = ("benchmark_save", "benchmark_autosave", "benchmark_compare")
        if any(self._config.getoption(name, None) for name in options):
            baseline.narrow_storage(self._config, self.host.fingerprint)

    @cached_property
    def host(self) -> HostView:
        """This host, detected on first use."""
        return HostView(*detect())

    @cached_property
    def quiet(self) -> QuietReference:
        """What quiet means on this machine."""
        return QuietReference(
            self.settings,
            self.host.facts,
            lambda: self.start_probe(self._cpus),
            self.progress.show,
        )

    @cached_property
    def peaks(self) -> Peaks:
        """The highest rates of the units of the CPUs that workers are bound to."""
        with self.start_probe(self._cpus) as probe:
            return probe.measure_peaks(_PEAK_READINGS)

    @cached_property
    def trials(self) -> Trials:
        """The trials that tests have asked for."""
        return Trials(self._open_trial, self.progress, self._time_left)

    @property
    def benchmarks(self) -> BenchmarkSession | None:
        """pytest-benchmark's session, made after ours; None with ``-p no:benchmark``."""
        return getattr(self._config, "_benchmarksession", None)

    @property
    def why_not_timed(self) -> str:
        """Why this run judges no speed, empty if it does."""
        if self.benchmarks is None or self.benchmarks.disabled:
            return "speed is not judged under --benchmark-disable"
        quota = self.host.facts.limits.cpus
        if quota is not None and quota < 1:
            return (
                f"nothing is timed: a CPU quota leaves this process the time of {quota:g} CPUs, "
                "and stops every step for a while; lift the quota"
            )
        return ""

    @property
    def _judges_speed(self) -> bool:
        """Whether there are speedups of AMX to judge."""
        return self.host.support.usable and not self.why_not_timed

    def find_waiver(self, test_id: str, message: str) -> Waiver | None:
        """The waiver that holds for a failed test, None if there is none."""
        found = waiver_of(self._waivers, test_id, message, self._today)
        if found is not None:
            self._used_waivers.add(found)
        return found

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences on rows of known defects, and on waivers, that are out of date."""
        found = self.checks.items()
        passed = [name for name, c in found if c.outcome is CheckOutcome.PASSED]
        return (
            *stale(passed),
            *warnings_of(self._waivers, self._used_waivers, self._today),
        )

    @property
    def folder(self) -> Path:
        """Where files go that are written during the run."""
        return self.settings.output or DEFAULT_OUTPUT

    @property
    def header(self) -> list[str]:
        """Lines on the host, its quiet reference and the run, for pytest's header."""
        amx, *host = header_lines(self.host.facts, self.host.support)
        return [
            amx,
            *without_amx_lines(
                self.settings,
                self.host.support,
                self.host.facts.cpuinfo.flags,
                self._design_time,
                require="--require" if self._qualifying else "--amx-require",
            ),
            *host,
            *([quiet_line(*self.quiet.stored)] if self._judges_speed else []),
            run_line(self.settings, self._design_time),
        ]

    @property
    def _design_time(self) -> DesignTime:
        """How long the run takes by design."""
        return run_time(
            self.settings,
            timed=not self.why_not_timed,
            with_amx=self.host.support.usable,
            cpu_flags=self.host.facts.cpuinfo.flags,
        )

    @property
    def _cpus(self) -> tuple[int, ...]:
        return self.settings.instance.cpus

    @property
    def inputs(self) -> Inputs:
        """The user's data, and whether anything may be downloaded."""
        settings = self.settings
        return Inputs(None if settings.data is None else str(settings.data), settings.download)

    def start_worker(
        self, isa: Isa, engine: str, label: str = "", cpus: tuple[int, ...] = ()
    ) -> IsaWorker:
        """Start a worker under a ceiling, on the CPUs, by default on this run's instance.

        Raises NotApplicableError for a ceiling with AMX where AMX is not usable.
        """
        from amx_suite.worker.process import IsaWorker

        if isa.allows_amx and not self.host.support.usable:
            raise NotApplicableError(why_not_usable(self.host.support))
        return IsaWorker(isa, engine, cpus=cpus or self._cpus, label=label)

    def start_probe(self, cpus: Sequence[int]) -> UnitProbe:
        """Start the child that reads the units of the CPUs."""
        from amx_suite.worker.unit_probe import UnitProbe

        return UnitProbe(cpus)

    def take_machine(self, items: Sequence[pytest.Item]) -> None:
        """Take the machine's lock if one of the items is going to time it.

        From then on progress says how much time is left for the items.

        Raises UsageError where another run holds it, unless the user chose to wait.
        """
        if self._config.getoption("collectonly") or not any(map(is_timed, items)):
            return
        # Last, because it detects the host. Under xdist rows are disabled, and timed tests refuse.
        if not self.why_not_timed:
            say = partial(terminal.write_line, self._config)
            self._lock.acquire(self.settings.wait, say)
            self.progress.expect(self._time_left(items, (), MOST_SECONDS))

    def release_machine(self) -> None:
        """Release the machine's lock if this run holds it."""
        self._lock.release()

    @contextlib.contextmanager
    def watch_health(self) -> Iterator[None]:
        """Read the machine's health before and after all tests, and end the workers."""
        # Here the machine is ours: waiting for another run to end is no part of this one.
        self._health_before = read_health()
        try:
            yield
        finally:
            self.progress.clear()
            # First, so that the workers' CPU time counts as ours.
            self.trials.close()
            self._health_after = read_health()
            # Every file of the run says the same.
            self._ended = time.monotonic()

    def finish(self, exitstatus: int) -> None:
        """Write ``summary.md`` where the user asked for results; if that fails, say why.

        A refused run leaves the files of the run before it.
        """
        from amx_suite.report.markdown import render_markdown

        if self._writes_summary and exitstatus != pytest.ExitCode.USAGE_ERROR:
            try:
                write_atomically(self.folder / "summary.md", render_markdown(self.summary()))
            except OutputError as error:
                terminal.write_line(self._config, f"amx-suite: error: no summary.md: {error}")

    @property
    def has_results(self) -> bool:
        """Whether it judged the machine; a run of selftests alone need not even detect it."""
        return bool(self.checks or self.trials.results() or self.whole_machine)

    def summary(self) -> RunSummary:
        """The run so far."""
        before = self._health_before
        return RunSummary(
            level=self.settings.level,
            engines=self.settings.engines,
            host=tuple(header_lines(self.host.facts, self.host.support)),
            amx_usable=self.host.support.usable,
            amx_reason=why_not_usable(self.host.support),
            checks=tuple(self.checks.values()),
            trials=self.trials.results(),
            started=self._started,
            elapsed_seconds=(self._ended or time.monotonic()) - self._began,
            interrupted=self.interrupted,
            ended_by=self.ended_by,
            health_before=before,
            health_after=self._health_after,
            findings=() if before is None else judge_run(before, self._health_after),
            identity=read_identity(),
            whole_machine=tuple(self.whole_machine),
            machine=self.host.fingerprint,
            versions=baseline.versions(),
            presence=presence(self.host.support),
        )

    def baseline_lines(self) -> tuple[str, ...]:
        """How the baseline differs, and which of its rows this run does not have."""
        missing = baseline.missing_rows(self.benchmarks, self.checks.values(), self.deselected)
        return (*self.notes, *(f"in the baseline, not in this run: {row}" for row in missing))

    def _time_left(
        self, items: Sequence[pytest.Item], again: Collection[Trial], most_again_seconds: float
    ) -> DesignTime:
        return time_left(
            items,
            again,
            self.settings,
            timed=not self.why_not_timed,
            with_amx=self.host.support.usable,
            cpu_flags=self.host.facts.cpuinfo.flags,
            most_again_seconds=most_again_seconds,
        )

    def _open_trial(self, trial: Trial) -> AmxTrial:
        settings, peaks = self.settings, None
        # Where no unit can be read, each arm says for itself whether it runs.
        with contextlib.suppress(NotApplicableError):
            peaks = self.peaks
        return AmxTrial(
            trial,
            self.gates,
            start=lambda case: self.start_worker(case.isa, case.engine, case.id),
            start_probe=lambda: self.start_probe(self._cpus),
            host=self.host.fingerprint,
            cpus=self._cpus,
            peaks=peaks,
            budget_seconds=settings.budget_of(level_of(trial)),
            reference=self.quiet.rates if self._judges_speed else None,
            rounds=ROUNDS if self._judges_speed else 1 if self.why_not_timed else SHOWN_ROUNDS,
            inputs=self.inputs,
            checkpoints=settings.checkpoint,
            show=self.progress.show,
        )
