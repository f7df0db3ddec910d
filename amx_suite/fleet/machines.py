"""A machine of a fleet, as its run of ``amx-suite qualify`` shows it."""

from __future__ import annotations

__all__ = ["Figure", "Machine", "NoResult", "machine_of_run"]

import statistics
from collections.abc import Iterator

import msgspec

from amx_suite.core.case import RunCase
from amx_suite.core.finding import Finding
from amx_suite.core.run import Qualification, RunSummary
from amx_suite.core.trial import TrialResult
from amx_suite.host.health_rules import settings_of
from amx_suite.report.closing import headline
from amx_suite.report.findings import findings
from amx_suite.report.provenance import machine_of, versions_of
from amx_suite.trial.decide import LEAST_ROUNDS

#: The host's traits that make a class: what libraries choose kernels by, and whether there is a
#: hypervisor. Guests may report any model, so family, model and name of the CPU only count among
#: the settings that should be the same.
_CLASS_TRAITS = ("cpu_vendor", "isa_flags", "amx_features", "hypervisor")

#: What the other traits are called.
_LABELS = {
    "cpu_brand": "CPU",
    "cpu_family": "CPU family",
    "cpu_model": "CPU model",
    "cpu_stepping": "CPU stepping",
    "microcode": "microcode",
    "kernel": "kernel",
    "cores": "cores",
    "cpus": "CPUs",
    "numa_nodes": "NUMA nodes",
    "caches": "caches",
    "memory_gib": "memory in GiB",
}

#: What the identity says of a kind of machine; the rest names one machine.
_IDENTITY = {
    "vendor": "vendor",
    "product": "product",
    "firmware_version": "BIOS version",
    "firmware_date": "BIOS date",
}


class Figure(msgspec.Struct, frozen=True, order=True):
    """What was measured: an arm's milliseconds per step (``ms``) or a speedup (``x``).

    ``trial`` is the workload with all conditions that two compared figures must share.
    """

    trial: str
    name: str
    unit: str

    def speed(self, value: float) -> float:
        """The value as a speed: the higher the better."""
        return 1 / value if self.unit == "ms" else value

    def text(self, value: float) -> str:
        """The value with its unit."""
        return f"{value:.2f}x" if self.unit == "x" else f"{value:.4g} ms"


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """One machine and its newest run.

    ``features`` and ``software`` make its class; ``configuration`` should be the same on all
    machines with these features. ``figures`` are those of at least ``LEAST_ROUNDS`` quiet rounds.
    ``older`` are files of earlier runs, which count for nothing.
    """

    name: str
    path: str
    started: str
    qualification: Qualification
    reason: str
    features: dict[str, str] = {}
    software: dict[str, str] = {}
    configuration: dict[str, str] = {}
    figures: tuple[tuple[Figure, float], ...] = ()
    findings: tuple[Finding, ...] = ()
    older: tuple[str, ...] = ()


class NoResult(msgspec.Struct, frozen=True, order=True):
    """A machine, or a file of one, that says nothing, and why."""

    name: str
    fault: str


def machine_of_run(name: str, path: str, run: RunSummary) -> Machine:
    """What a fleet's report needs of a run."""
    traits = machine_of(run)
    return Machine(
        name=name,
        path=path,
        started=run.started,
        qualification=run.qualification,
        reason=headline(run),
        features={key: traits.get(key, "unknown") for key in _CLASS_TRAITS},
        software={
            key: version
            for trial in run.trials
            for key, version in trial.measurement.environment.versions.items()
        },
        configuration=_configuration(run, traits),
        figures=tuple(figure for trial in run.trials for figure in _figures(trial)),
        findings=findings(run),
    )


def _configuration(run: RunSummary, traits: dict[str, str]) -> dict[str, str]:
    found = {label: traits[key] for key, label in _LABELS.items() if key in traits}
    for key, label in _IDENTITY.items():
        found[label] = getattr(run.identity, key) or "not read"
    if run.health_before is not None:
        found |= settings_of(run.health_before)
    found |= {f"version of {name}": version for name, version in versions_of(run).items()}
    return {**found, "level of the run": str(run.level), "engines": ", ".join(run.engines)}


def _figures(trial: TrialResult) -> Iterator[tuple[Figure, float]]:
    measurement = trial.measurement
    quiet: dict[str, list[float]] = {}
    for round_ in measurement.launch(0):
        for piece in round_.slices:
            quiet.setdefault(piece.arm_id, []).append(piece.seconds_per_step)
    cases = {facts.case.id: facts.case for facts in measurement.arms}
    for arm_id, case in cases.items():
        series = quiet.get(arm_id, [])
        if len(series) >= LEAST_ROUNDS:
            yield Figure(_conditions(case), case.arm, "ms"), statistics.median(series) * 1e3
    for result in trial.gates:
        speedup, both = result.speedup, {result.candidate_id, result.baseline_id}
        if speedup is not None and speedup.pairs >= LEAST_ROUNDS and both <= cases.keys():
            candidate = cases[result.candidate_id]
            name = f"{candidate.arm} over {cases[result.baseline_id].arm}"
            yield Figure(_conditions(candidate), name, "x"), speedup.ratio


def _conditions(case: RunCase) -> str:
    """What two compared figures must share; the usual seed and weights go without saying."""
    words = [f"{case.workload}-{case.engine} {case.shape}", f"{case.cores} cores"]
    words += [f"seed {case.seed}"] * (case.seed != 0)
    words += [f"weights {case.weights}"] * (case.weights != "random")
    return ", ".join(words)
