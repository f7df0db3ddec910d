"""``summary.md``: the whole run on one page."""

from __future__ import annotations

__all__ = ["render_markdown"]

from collections.abc import Iterator, Mapping, Sequence

from amx_suite.core.evidence import Evidence
from amx_suite.core.measurement import ArmFacts, Measurement
from amx_suite.core.run import CheckOutcome, RunSummary
from amx_suite.core.trial import TrialResult
from amx_suite.report.blame import blame
from amx_suite.report.closing import closing_lines
from amx_suite.report.explain import explained, largest_kernels
from amx_suite.report.health import health_lines
from amx_suite.report.rows import gate_table, speed_table
from amx_suite.report.table import bullets, plain
from amx_suite.report.whole_machine import whole_machine_tables

_ABOUT_SPEED = (
    "ms/step is the median over quiet slices, or over disturbed ones where none was quiet. A "
    "speedup is the Hodges-Lehmann estimate over the rounds' paired ratios, with its 99% interval "
    "in brackets; one without a gate is shown and not judged. Peak is operations a second over "
    "what the unit gives in a loop that does nothing else (AVX-512 FMA for FP32, tiles for AMX)."
)
_ABOUT_WHOLE_MACHINE = (
    "No gate judges these figures. Of an instance: the median, with the lowest and the highest in "
    "brackets. Last/first tenth: the rate of the last tenth of the time over that of the first; "
    "below 1 the machine slows down, as when it gets hot. Outliers are much slower than the others "
    "of their size."
)


def render_markdown(summary: RunSummary) -> str:
    """The report as GitHub-flavoured markdown, ending in a newline.

    A section that has nothing to say is there all the same, so that nobody looks for it.
    """
    answer, *details = closing_lines(summary)
    trials = summary.trials
    measurements = [trial.measurement for trial in trials]
    arms = [facts for measurement in measurements for facts in measurement.arms]
    gates = [result for trial in trials for result in trial.gates]
    speed = [speed_table(trial).markdown() for trial in trials]
    sections = {
        "Run": [bullets(_run(summary, arms))],
        "Host": [bullets(summary.host)],
        "Host health": [bullets(health_lines(summary))],
        "Speed": [*speed, _ABOUT_SPEED] if speed else [],
        "Gates": [gate_table(gates).markdown()],
        "Whole machine": [
            *(table.markdown() for table in whole_machine_tables(summary.whole_machine)),
            _ABOUT_WHOLE_MACHINE if summary.whole_machine else "",
        ],
        "Where the time went": _explanations(trials),
        "Evidence": [bullets(f"{facts.case.id}: {_proof(facts.evidence)}" for facts in arms)],
        "Data": [bullets(dict.fromkeys(map(_data, arms)))],
        "Environment": [bullets(dict.fromkeys(_environments(measurements)))],
        "Checks that failed": _grouped(summary, CheckOutcome.FAILED),
        "Checks not decided": _grouped(summary, CheckOutcome.INCONCLUSIVE),
        "Known defects": _grouped(summary, CheckOutcome.KNOWN_DEFECT),
        "Waived failures": _grouped(summary, CheckOutcome.WAIVED),
        "Checks skipped": _grouped(summary, CheckOutcome.SKIPPED),
        "Notes": [bullets(f"{m.trial}: {note}" for m in measurements for note in m.notes)],
    }
    page = ["# Intel AMX conformance", f"**{plain(answer)}**", bullets(details)]
    for name, blocks in sections.items():
        page += [f"## {name}", *(list(filter(None, blocks)) or ["None."])]
    return "\n\n".join(filter(None, page)) + "\n"


def _run(summary: RunSummary, arms: Sequence[ArmFacts]) -> list[str]:
    shapes = dict.fromkeys(f"{facts.case.workload} {facts.case.shape}" for facts in arms)
    return [
        f"started: {summary.started}",
        f"duration: {summary.elapsed_seconds:.0f} s" + " (ended early)" * summary.interrupted,
        f"level: {summary.level}",
        f"engines: {', '.join(summary.engines) or 'none available'}",
        f"shapes (batch x size): {', '.join(shapes) or 'nothing was timed'}",
        f"checks passed: {len(summary.checks_that(CheckOutcome.PASSED))} of {len(summary.checks)}",
    ]


def _explanations(trials: Sequence[TrialResult]) -> list[str]:
    blocks = []
    for trial in trials:
        for result, lines in explained(trial):
            blocks += [f"### {plain(result.gate.id)}: {result.verdict}", bullets(lines)]
    return blocks


def _proof(evidence: Evidence | None) -> str:
    if evidence is None:
        return "none recorded"
    permission = {True: "granted", False: "never granted", None: "not known to this kernel"}
    words = [
        f"jail {evidence.jail}",
        f"tile permission {permission[evidence.amx_permission]}",
        f"oneDNN ISA {evidence.onednn_isa or 'not reported'}",
        f"on AMX: {evidence.amx_share:.1%} of {evidence.operations / 1e9:.3g} 10^9 operations",
        f"unseen: {evidence.unseen_share:.1%} of {evidence.step_milliseconds:.1f} ms of the step",
        f"read back: {_pairs(evidence.read_back) or 'nothing'}",
        f"threads on CPUs {', '.join(map(str, evidence.cpus)) or 'unknown'}",
    ]
    return "; ".join([*words, *largest_kernels(evidence)])


def _data(facts: ArmFacts) -> str:
    weights = f"weights {facts.case.weights}"
    if facts.case.weights == "random":
        weights = f"random weights, seed {facts.case.seed}"
    return f"{facts.case.workload}: {facts.data}; {weights}"


def _environments(measurements: Sequence[Measurement]) -> Iterator[str]:
    for environment in (measurement.environment for measurement in measurements):
        yield from (f"{key}: {value}" for key, value in environment.host.items())
        yield f"CPUs of the workers: {', '.join(map(str, environment.cpus)) or 'not bound'}"
        yield f"versions: {_pairs(environment.versions) or 'not recorded'}"
        yield f"variables kept from the workers: {_pairs(environment.removed_variables) or 'none'}"


def _pairs(values: Mapping[str, str]) -> str:
    return ", ".join(f"{key} {value}" for key, value in sorted(values.items()))


def _grouped(summary: RunSummary, outcome: CheckOutcome) -> list[str]:
    """Checks by reason, so that two hundred skips for one cause are one paragraph."""
    groups: dict[str, list[str]] = {}
    for check in summary.checks_that(outcome):
        reason = check.reason or "no reason given"
        if outcome is CheckOutcome.FAILED:
            reason += f"; to blame: {blame(check, summary)}"
        groups.setdefault(reason, []).append(check.test_id)
    return [
        f"{plain(reason)} ({len(names)}):\n\n{bullets(names)}" for reason, names in groups.items()
    ]
