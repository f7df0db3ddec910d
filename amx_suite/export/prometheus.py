"""Text for Prometheus, by way of the node exporter's textfile collector.

Format: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format. Names, units
and labels: https://prometheus.io/docs/practices/naming/. There are no timestamps, because the
collector refuses them; a metric of its own says when the run started.
"""

from __future__ import annotations

__all__ = ["prometheus_text"]

import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from amx_suite.core.finding import Severity
from amx_suite.core.run import CheckOutcome, Qualification
from amx_suite.core.verdict import Verdict
from amx_suite.export.runs import machine_id_of, machine_of, started_of
from amx_suite.history.store import StoredRun

_PREFIX = "amx_suite_"

#: Each metric with its help; all are gauges, as each file is a snapshot.
_HELP = {
    "info": "The machine and the software of the latest run.",
    "run_start_timestamp_seconds": "When the latest run started, in seconds since 1970.",
    "run_duration_seconds": "How long the latest run took.",
    "exit_code": "Exit code by which the latest run qualifies the machine: 0, 1, 3 or 4.",
    "qualification": "1 for the state of the machine after the latest run, 0 for the others.",
    "checks": "Conformance tests of the latest run, by outcome.",
    "findings": "Findings about the machine's health in the latest run, by severity.",
    "gate_verdict": "1 for the verdict on the gate in the latest run, 0 for the others.",
    "gate_minimum_ratio": "The least speedup that passes the gate.",
    "gate_speedup_ratio": "Speedup of the AMX arm over its baseline.",
    "gate_speedup_low_ratio": "Lower end of the speedup's 99 % interval.",
    "gate_speedup_high_ratio": "Upper end of the speedup's 99 % interval.",
    "step_seconds": "Median time of one step of the arm, over quiet slices if there are any.",
}


class _Sample(NamedTuple):
    metric: str
    labels: Mapping[str, str]
    value: float


def prometheus_text(runs: Sequence[StoredRun]) -> str:
    """The latest run of each machine; raises ResultsFileError for a run without its time.

    What was not measured has no sample, so that no old figure looks like a new one.
    """
    latest = {machine_of(run): run for run in sorted(runs, key=started_of)}
    samples = [
        sample._replace(labels={"machine": machine, **sample.labels})
        for machine, run in latest.items()
        for sample in _samples(run)
    ]
    lines: list[str] = []
    for metric, text in _HELP.items():
        found = [sample for sample in samples if sample.metric == metric]
        if found:
            lines += [f"# HELP {_PREFIX}{metric} {text}", f"# TYPE {_PREFIX}{metric} gauge"]
            lines += map(_line, found)
    return "\n".join(lines) + "\n"


def _samples(run: StoredRun) -> Iterator[_Sample]:
    summary = run.summary
    yield _Sample("info", _info(run), 1)
    yield _Sample("run_start_timestamp_seconds", {}, started_of(run).timestamp())
    yield _Sample("run_duration_seconds", {}, summary.elapsed_seconds)
    yield _Sample("exit_code", {}, summary.qualification.exit_code)
    yield from _states("qualification", "state", Qualification, summary.qualification)
    for outcome in CheckOutcome:
        yield _Sample("checks", {"outcome": outcome}, len(summary.checks_that(outcome)))
    for severity in Severity:
        yield _Sample("findings", {"severity": severity}, len(summary.findings_of(severity)))
    for trial in summary.trials:
        for result in trial.gates:
            labels = {"case": result.candidate_id, "versus": str(result.gate.versus)}
            yield from _states("gate_verdict", "verdict", Verdict, result.verdict, labels)
            yield _Sample("gate_minimum_ratio", labels, result.gate.minimum)
            if (speedup := result.speedup) is None:
                continue
            yield _Sample("gate_speedup_ratio", labels, speedup.ratio)
            if speedup.low is not None and speedup.high is not None:
                yield _Sample("gate_speedup_low_ratio", labels, speedup.low)
                yield _Sample("gate_speedup_high_ratio", labels, speedup.high)
        for case_id in (facts.case.id for facts in trial.measurement.arms):
            if series := trial.measurement.series(case_id):
                yield _Sample("step_seconds", {"case": case_id}, statistics.median(series))


def _info(run: StoredRun) -> dict[str, str]:
    summary = run.summary
    return {
        "machine_id": machine_id_of(run),
        "cpu": summary.machine.get("cpu_brand", ""),
        "microcode": summary.machine.get("microcode", ""),
        "kernel": summary.machine.get("kernel", ""),
        "torch": summary.versions.get("torch", ""),
        "suite": summary.versions.get("amx-suite", ""),
        "level": str(summary.level),
        "engines": ",".join(summary.engines),
    }


def _states(
    metric: str,
    label: str,
    states: Iterable[StrEnum],
    current: StrEnum,
    labels: Mapping[str, str] | None = None,
) -> Iterator[_Sample]:
    """A sample for each state, so that an alert on a state is there before the state is."""
    for state in states:
        yield _Sample(metric, {**(labels or {}), label: state}, float(state is current))


def _line(sample: _Sample) -> str:
    labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in sample.labels.items())
    return f"{_PREFIX}{sample.metric}{{{labels}}} {float(sample.value)!r}"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
