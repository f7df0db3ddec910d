"""``report.html``: the whole run on one page that needs nothing else, and no script."""

from __future__ import annotations

__all__ = ["page_of", "render_html"]

from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
import msgspec

from amx_suite.core.run import LEVELS, Check, CheckOutcome, Qualification, RunSummary
from amx_suite.core.trial import TrialResult
from amx_suite.report.accuracy import accuracy_text, figure_table
from amx_suite.report.anonymous import anonymous as without_names
from amx_suite.report.charts import FAMILY_COLOURS, rounds_chart, speedup_chart, time_chart
from amx_suite.report.checks import (
    check_table,
    checks_on,
    counts_text,
    question_table,
    reason_table,
)
from amx_suite.report.closing import duration_text, headline
from amx_suite.report.explain import explained
from amx_suite.report.findings import by_severity, findings
from amx_suite.report.health import health_lines
from amx_suite.report.markdown import ABOUT_SPEED
from amx_suite.report.provenance import machine_of, provenance_lines, versions_of
from amx_suite.report.rows import gate_table, kernel_table, speed_table
from amx_suite.report.whole_machine import whole_machine_tables

_TONES = {Qualification.QUALIFIED: "good", Qualification.INCONCLUSIVE: "open"}


def render_html(summary: RunSummary, *, sha256: str, anonymous: bool = False) -> str:
    """The report of the run whose results.json has this SHA-256; the same run, the same bytes.

    ``anonymous`` leaves out what names the machine.
    """
    if anonymous:
        summary = without_names(summary)
    accuracy = checks_on(summary, "correctness")
    wrong = [c for c in accuracy if c.outcome not in (CheckOutcome.PASSED, CheckOutcome.SKIPPED)]
    return page_of(
        Path(__file__).with_name("report.html.j2"),
        anonymous=anonymous,
        verdict=summary.qualification,
        headline=headline(summary),
        tone=_TONES.get(summary.qualification, "bad"),
        facts=[*_facts(summary), ("SHA-256 of results.json", sha256)],
        questions=question_table(summary),
        findings=by_severity(findings(summary)),
        presence=list(_presence(summary)),
        present_checks=check_table(checks_on(summary, "detection")),
        about_speed=ABOUT_SPEED,
        trials=[_trial(trial) for trial in summary.trials],
        whole_machine=whole_machine_tables(summary.whole_machine),
        colours=FAMILY_COLOURS,
        figures=figure_table(accuracy),
        inaccurate=check_table(wrong),
        accuracy=_accuracy(accuracy),
        left_out=list(_left_out(summary)),
        untested=reason_table(summary.checks_that(CheckOutcome.SKIPPED)),
        all_checks=check_table(summary.checks),
        health=health_lines(summary),
        environment=[*summary.host, *provenance_lines(summary)],
    )


def page_of(template: Path, **content: object) -> str:
    """The page of a template, which may use the others of this folder."""
    page = _templates(template.parent).get_template(template.name).render(**content)
    # Text may hold half of a surrogate pair, which no file can.
    return page.encode("utf-8", "replace").decode() + "\n"


@cache
def _templates(folder: Path) -> jinja2.Environment:
    # Kept, because it keeps what it has compiled.
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, Path(__file__).parent]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _facts(summary: RunSummary) -> Iterator[tuple[str, str]]:
    """The machine, the software and the run, as (label, value)."""
    for name, value in msgspec.structs.asdict(summary.identity).items():
        if value:
            yield name.replace("_", " ").capitalize(), value
    machine = machine_of(summary)
    if machine:
        numbers = [f"{n} {machine.get(f'cpu_{n}', '?')}" for n in ("family", "model", "stepping")]
        yield "CPU", f"{machine.get('cpu_brand') or 'unnamed'} ({' '.join(numbers)})"
        counts = {"cores": "core", "cpus": "CPU", "numa_nodes": "NUMA node"}
        yield "Cores", ", ".join(_number(machine.get(key, "?"), of) for key, of in counts.items())
        yield "Memory", f"{machine.get('memory_gib', '?')} GiB"
        for key in ("microcode", "kernel", "hypervisor"):
            yield key.capitalize(), machine.get(key) or "unknown"
    else:
        yield "Host", summary.host[-1] if summary.host else "unknown"
    yield "Run", f"level {summary.level}, {', '.join(summary.engines) or 'no engine'}"
    yield "Started", summary.started.replace("T", " ")
    yield "Duration", duration_text(summary) + " (ended early)" * summary.interrupted
    versions = versions_of(summary)
    yield "Software", ", ".join(f"{name} {versions[name]}" for name in versions) or "not recorded"


def _number(count: str, of: str) -> str:
    return f"{count} {of}{'' if count == '1' else 's'}"


def _presence(summary: RunSummary) -> Iterator[str]:
    """What shows that AMX is there, and each reason why not with its remedy."""
    yield from summary.host[:1]
    machine = machine_of(summary)
    if machine:
        flags = [f for f in machine.get("isa_flags", "").split() if f.startswith("amx")]
        yield f"CPUID: {machine.get('amx_features') or 'no AMX'}"
        yield f"/proc/cpuinfo: {' '.join(flags) or 'no AMX flag'}"
    evidence = [
        facts.evidence
        for trial in summary.trials
        for facts in trial.measurement.arms
        if facts.evidence is not None
    ]
    if evidence:
        given = [one for one in evidence if one.amx_permission]
        wanted = [one for one in evidence if one.isa.allows_amx]
        yield (
            f"Tile permission: granted to {sum(one in given for one in wanted)} of {len(wanted)} "
            f"arms with AMX, and to {sum(one not in wanted for one in given)} of "
            f"{len(evidence) - len(wanted)} arms without"
        )
    for finding in summary.presence:
        remedy = f". What to do: {finding.remedy}" if finding.remedy else ""
        yield f"{finding.sentence}{remedy}"
    if summary.amx_reason and not summary.presence:
        yield summary.amx_reason


def _trial(trial: TrialResult) -> dict[str, Any]:
    charts = (speedup_chart(trial), time_chart(trial), rounds_chart(trial))
    return {
        "speed": speed_table(trial),
        "charts": [chart for chart in charts if chart is not None],
        "gates": gate_table(trial.gates),
        "kernels": [kernel_table(facts) for facts in trial.measurement.arms],
        "explained": [(f"{r.gate.id}: {r.verdict}", lines) for r, lines in explained(trial)],
    }


def _accuracy(checks: Sequence[Check]) -> str:
    if not checks:
        return "No accuracy check ran."
    return (
        f"Checks of outputs, gradients and losses against their limits: {counts_text(checks)}. "
        f"{accuracy_text(checks)}."
    )


def _left_out(summary: RunSummary) -> Iterator[str]:
    """What no check of this run says: higher levels, and CPUs that were not timed."""
    above = [f"level {level} ({what})" for level, what in LEVELS.items() if level > summary.level]
    if above:
        yield f"Level {summary.level} leaves out {', '.join(above)}."
    timed = sorted({cpu for t in summary.trials for cpu in t.measurement.environment.cpus})
    there = machine_of(summary).get("cpus")
    of = f" of the {there} CPUs that the run could use" if there else " CPUs"
    named = f": {', '.join(map(str, timed))}" if timed else ""
    yield f"Speed was measured on {len(timed) or 'none'}{of}{named}."
