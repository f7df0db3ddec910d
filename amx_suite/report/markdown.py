"""``summary.md``: the whole run on one page."""

from __future__ import annotations

__all__ = ["ABOUT_SPEED", "render_markdown"]

from collections.abc import Sequence

from amx_suite.core.measurement import ArmFacts
from amx_suite.core.run import Check, CheckOutcome, RunSummary
from amx_suite.core.trial import TrialResult
from amx_suite.report.closing import closing_lines
from amx_suite.report.explain import explained
from amx_suite.report.findings import findings
from amx_suite.report.health import health_lines
from amx_suite.report.provenance import data_lines, environment_lines, evidence_lines
from amx_suite.report.rows import gate_table, speed_table
from amx_suite.report.table import bullets, plain
from amx_suite.report.whole_machine import whole_machine_tables

#: What the columns of a speed table mean.
ABOUT_SPEED = (
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
    arms = [facts for trial in trials for facts in trial.measurement.arms]
    gates = [result for trial in trials for result in trial.gates]
    speed = [speed_table(trial).markdown() for trial in trials]
    sections = {
        "Findings": [bullets(map(str, findings(summary)))],
        "Run": [bullets(_run(summary, arms))],
        "Host": [bullets(summary.host)],
        "Host health": [bullets(health_lines(summary))],
        "Speed": [*speed, ABOUT_SPEED] if speed else [],
        "Gates": [gate_table(gates).markdown()],
        "Whole machine": [
            *(table.markdown() for table in whole_machine_tables(summary.whole_machine)),
            _ABOUT_WHOLE_MACHINE if summary.whole_machine else "",
        ],
        "Where the time went": _explanations(trials),
        "Evidence": [bullets(evidence_lines(summary))],
        "Data": [bullets(data_lines(summary))],
        "Environment": [bullets(environment_lines(summary))],
        "Checks skipped": _grouped(summary.checks_that(CheckOutcome.SKIPPED)),
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


def _grouped(checks: Sequence[Check]) -> list[str]:
    """Checks by reason, so that two hundred skips for one cause are one paragraph."""
    groups: dict[str, list[str]] = {}
    for check in checks:
        groups.setdefault(check.reason or "no reason given", []).append(check.test_id)
    return [
        f"{plain(reason)} ({len(names)}):\n\n{bullets(names)}" for reason, names in groups.items()
    ]
