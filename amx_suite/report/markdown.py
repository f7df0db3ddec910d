"""summary.md: the whole run on one page."""

from __future__ import annotations

__all__ = ["render_markdown"]

from collections.abc import Iterable, Sequence

import msgspec

from amx_suite.core.evidence import Evidence
from amx_suite.core.measurement import ArmFacts, Environment
from amx_suite.core.run import Check, CheckOutcome, RunSummary
from amx_suite.core.trial import TrialResult
from amx_suite.report.closing import closing_lines
from amx_suite.report.engines import engine_rows, names_of
from amx_suite.report.explain import explained
from amx_suite.report.markup import bullets, listed, plain, table
from amx_suite.report.roofline import roofline_blocks
from amx_suite.report.rows import (
    Comparison,
    arm_rows,
    share_text,
    speedup_text,
    trial_title,
    verdict_text,
)

#: Implementations shown for each arm, those with the most time first.
_MOST_KERNELS = 4


def render_markdown(summary: RunSummary) -> str:
    """The report as GitHub-flavoured markdown, ending in a newline."""
    answer, *details = closing_lines(summary)
    sections = [
        ["# Intel AMX conformance", f"**{plain(answer)}**", *bullets(details)],
        ["## Run", *bullets(_run_facts(summary))],
        ["## Host", *bullets(summary.host or ("not recorded",))],
        ["## Speed", *_speed(summary.trials)],
        ["## Engines side by side", *_engines(summary.trials)],
        ["## Roofline", *roofline_blocks(summary.trials)],
        ["## Gates", *_gates(summary.trials)],
        ["## Where the time went", *_explanations(summary.trials)],
        ["## Evidence", *_evidence(summary.trials)],
        ["## Data", *bullets(_data(summary.trials))],
        ["## Environment", *_environments(summary.trials)],
        ["## Checks that failed", *_grouped(summary.checks_that(CheckOutcome.FAILED))],
        ["## Checks not decided", *_grouped(summary.checks_that(CheckOutcome.INCONCLUSIVE))],
        ["## Known defects", *_grouped(summary.checks_that(CheckOutcome.KNOWN_DEFECT))],
        ["## Checks skipped", *_grouped(summary.checks_that(CheckOutcome.SKIPPED))],
        ["## Notes", *bullets(_notes(summary.trials))],
    ]
    return "\n\n".join("\n\n".join(blocks) for blocks in sections) + "\n"


def _run_facts(summary: RunSummary) -> list[str]:
    shapes = dict.fromkeys(
        f"{facts.case.workload} {facts.case.shape}"
        for trial in summary.trials
        for facts in trial.measurement.arms
    )
    return [
        f"started: {summary.started}",
        f"duration: {summary.elapsed_seconds:.0f} s" + " (ended early)" * summary.interrupted,
        f"level: {summary.level}",
        f"engines: {', '.join(summary.engines) or 'none available'}",
        f"shapes (batch x size): {', '.join(shapes) or 'nothing was timed'}",
        f"checks passed: {len(summary.checks_that(CheckOutcome.PASSED))} of {len(summary.checks)}",
    ]


def _speed(trials: Sequence[TrialResult]) -> list[str]:
    own = [trial for trial in trials if not trial.measurement.engines]
    if not own:
        return ["No trial ran."]
    blocks = []
    for trial in own:
        blocks.append(f"### {plain(trial_title(trial.measurement))}")
        rows = [
            (
                row.arm,
                "-" if row.seconds is None else f"{row.seconds * 1e3:.1f}",
                "-" if row.throughput is None else f"{row.throughput:.1f} {row.unit}/s",
                share_text(row.share_of_peak),
                _comparison(row.versus_fp32),
                _comparison(row.versus_no_amx),
                row.evidence,
            )
            for row in arm_rows(trial)
        ]
        header = ("arm", "ms/step", "throughput", "peak", "over FP32", "over no AMX", "evidence")
        blocks.append(table(header, rows) if rows else "No arm of this trial ran.")
    blocks.append(
        "ms/step is the median over quiet slices, or over disturbed ones where none was quiet. A "
        "speedup is the Hodges-Lehmann estimate over the "
        "rounds' paired ratios, with its 99 % interval in brackets; one without a gate is shown "
        "and not judged. Peak: operations a second over what the unit gives in a loop that does "
        "nothing else (AVX-512 FMA for FP32, tiles for AMX arms)."
    )
    return blocks


def _engines(trials: Sequence[TrialResult]) -> list[str]:
    rows, engines = engine_rows(trials), names_of(trials)
    if not rows:
        return ["None were compared: that takes two engines, and level 3."]
    cells = [
        (f"{row.workload} {row.shape}", row.arm, *(str(row.cells.get(e, "-")) for e in engines))
        for row in rows
    ]
    legend = (
        "A step's median over rounds. Behind it stands how many times as fast as "
        f"{plain(engines[0])} the engine is, by the ratios of the same rounds, with the 99 % "
        "interval in brackets, and a verdict where the figures are not to be trusted: the checks "
        "say why. No gate asks anything of these figures."
    )
    return [table(("workload", "arm", *engines), cells), legend]


def _comparison(comparison: Comparison | None) -> str:
    if comparison is None:
        return ""
    parts = [speedup_text(comparison.speedup), *map(verdict_text, comparison.gates)]
    return ", ".join(parts)


def _gates(trials: Sequence[TrialResult]) -> list[str]:
    results = [result for trial in trials for result in trial.gates]
    if not results:
        return ["No gate applied to what ran."]
    rows = [
        (
            result.gate.id,
            f"{result.gate.minimum:.2f}",
            speedup_text(result.speedup),
            result.verdict,
            "; next: ".join(part for part in (result.reason, result.remedy) if part),
            result.gate.source,
        )
        for result in results
    ]
    return [table(("gate", "minimum", "speedup", "verdict", "reason", "source"), rows)]


def _explanations(trials: Sequence[TrialResult]) -> list[str]:
    blocks: list[str] = []
    for trial in trials:
        for result, lines in explained(trial):
            blocks += [f"### {plain(result.gate.id)}: {result.verdict}", *bullets(lines)]
    return blocks or [
        "No gate was missed or nearly so, or nothing was recorded of those that were."
    ]


def _evidence(trials: Sequence[TrialResult]) -> list[str]:
    lines = [
        f"`{facts.case.id}`: {_proof(facts.evidence)}"
        for trial in trials
        for facts in trial.measurement.arms
    ]
    return [listed(lines)] if lines else ["Nothing was timed, so nothing was to be proven."]


def _proof(evidence: Evidence | None) -> str:
    if evidence is None:
        return "none recorded"
    permission = {True: "granted", False: "never granted", None: "not known to this kernel"}
    words = [
        f"jail {evidence.jail}",
        f"tile permission {permission[evidence.amx_permission]}",
        f"oneDNN ISA {plain(evidence.onednn_isa or 'not reported')}",
        f"on AMX: {evidence.amx_share:.1%} of {evidence.matrix_milliseconds:.1f} matrix ms",
        f"unseen: {evidence.unseen_share:.1%} of {evidence.step_milliseconds:.1f} ms of the step",
        "read back: "
        + (", ".join(f"{k} {plain(v)}" for k, v in evidence.read_back.items()) or "nothing"),
    ]
    most = sorted(evidence.kernels, key=lambda use: -use.milliseconds)[:_MOST_KERNELS]
    words += [
        f"{use.count} x {plain(use.kind)} {plain(use.implementation)} {use.milliseconds:.1f} ms"
        for use in most
    ]
    return "; ".join(words)


def _data(trials: Sequence[TrialResult]) -> list[str]:
    used: dict[str, None] = {}
    for trial in trials:
        for facts in trial.measurement.arms:
            used[f"{facts.case.workload}: {facts.data}; {_weights(facts)}"] = None
    return list(used) or ["none"]


def _weights(facts: ArmFacts) -> str:
    weights = facts.case.weights
    return (
        f"random weights, seed {facts.case.seed}" if weights == "random" else f"weights {weights}"
    )


def _environments(trials: Sequence[TrialResult]) -> list[str]:
    """Each distinct environment once, with the trials it belongs to."""
    found: dict[bytes, tuple[Environment, list[str]]] = {}
    for trial in trials:
        environment = trial.measurement.environment
        key = msgspec.json.encode(environment, order="deterministic")
        found.setdefault(key, (environment, []))[1].append(trial.measurement.trial)
    if not found:
        return ["Not recorded: nothing was timed."]
    blocks = []
    for environment, names in found.values():
        if len(found) > 1:
            blocks.append(f"### {plain(', '.join(names))}")
        cpus = ", ".join(map(str, environment.cpus)) or "not bound"
        removed = _pairs(environment.removed_variables)
        blocks += bullets(
            [
                *(f"{key}: {value}" for key, value in environment.host.items()),
                f"CPUs of the workers: {cpus}",
                f"versions: {_pairs(environment.versions) or 'not recorded'}",
                f"variables kept from the workers: {removed or 'none'}",
            ]
        )
    return blocks


def _pairs(values: dict[str, str]) -> str:
    return ", ".join(f"{key} {value}" for key, value in sorted(values.items()))


def _grouped(checks: Iterable[Check]) -> list[str]:
    """Checks by reason, so that two hundred skips for one cause are one paragraph."""
    groups: dict[str, list[str]] = {}
    for check in checks:
        groups.setdefault(check.reason or "no reason given", []).append(check.test_id)
    if not groups:
        return ["None."]
    blocks = []
    for reason, names in groups.items():
        blocks.append(f"{plain(reason)} ({len(names)}):")
        blocks.append(listed(f"`{name}`" for name in names))
    return blocks


def _notes(trials: Sequence[TrialResult]) -> list[str]:
    return [
        f"{trial.measurement.trial}: {note}" for trial in trials for note in trial.measurement.notes
    ] or ["None."]
