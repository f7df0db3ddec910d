"""The rows of a trial: one for each arm with its speedups, for each gate, and for each kernel."""

from __future__ import annotations

__all__ = [
    "Comparison",
    "comparisons",
    "evidence_text",
    "gate_table",
    "kernel_table",
    "measured_text",
    "result_table",
    "speed_table",
    "speedup_text",
]

import statistics
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from rich.text import Text

from amx_suite.core.case import RunCase
from amx_suite.core.evidence import Evidence, Jail
from amx_suite.core.gate import Versus
from amx_suite.core.measurement import ArmFacts, Measurement, lost_share
from amx_suite.core.peaks import MOST_SHARE
from amx_suite.core.trial import TrialResult
from amx_suite.core.verdict import GateResult, Speedup, Verdict
from amx_suite.report.table import Column, Table
from amx_suite.trial.interval import paired_speedup

#: A cell with several verdicts has the style of the first of them in this order.
_STYLES = {
    Verdict.FAIL: "bold red",
    Verdict.NO_EVIDENCE: "bold red",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.PASS: "green",
    Verdict.NOT_APPLICABLE: "dim",
}

_SPEED_COLUMNS = (
    Column("arm"),
    Column("ms/step", align_right=True),
    Column("throughput", align_right=True),
    Column("peak", align_right=True),
    Column("over FP32"),
    Column("over no AMX"),
    Column("evidence", wraps=True),
)

_KERNEL_COLUMNS = (
    Column("kernel", wraps=True),
    Column("type"),
    Column("family"),
    Column("count", align_right=True),
    Column("ms", align_right=True),
    Column("share of step", align_right=True),
)
_RESULT_COLUMNS = (
    Column("trial"),
    Column("arm"),
    Column("ms/step", align_right=True),
    Column("over FP32"),
    Column("over no AMX"),
    Column("evidence"),
)

#: A table of kernels has the slowest ones.
_MOST_KERNELS = 12

_GATE_COLUMNS = tuple(map(Column, ("gate", "minimum", "speedup", "verdict", "reason", "source")))


class Comparison(NamedTuple):
    """The speedup of an arm over a baseline, None where no round has both, and its gates.

    ``baseline`` and ``candidate`` are names of arms.
    """

    candidate: str
    baseline: str
    versus: Versus
    speedup: Speedup | None
    gates: tuple[GateResult, ...]


def comparisons(trial: TrialResult) -> Iterator[Comparison]:
    """Every speedup of a trial with or without a gate, in the order of the arms.

    Gates of arms that did not run come last.
    """
    cases = [facts.case for facts in trial.measurement.arms]
    for case in cases:
        for versus in (Versus.FP32, Versus.NO_AMX):
            gates = tuple(
                g for g in trial.gates if g.candidate_id == case.id and g.gate.versus is versus
            )
            baseline = next((arm for arm in cases if versus.is_baseline(arm, case)), None)
            if baseline is None and not gates:
                continue
            pairs = () if baseline is None else trial.measurement.pairs(baseline.id, case.id)
            name = baseline.arm if baseline else versus.value
            yield Comparison(case.arm, name, versus, paired_speedup(pairs), gates)
    ran = {case.id for case in cases}
    for result in trial.gates:
        if result.candidate_id not in ran:
            gate = result.gate
            name = f"{gate.precision}@{gate.precision.spec.with_amx}"
            yield Comparison(name, gate.versus.value, gate.versus, None, (result,))


def speed_table(trial: TrialResult) -> Table:
    """A row for each arm: median step, throughput, share of peak, speedups and evidence.

    The share of peak is operations a second over what the arm's unit gives in a loop that does
    nothing else; ``-`` where that was not read, or read too low beside a neighbour. A speedup over
    a baseline is shown with or without a gate on it.
    """
    measurement, found = trial.measurement, list(comparisons(trial))
    return Table(
        _SPEED_COLUMNS,
        tuple(
            (
                facts.case.arm,
                *_step(measurement, facts),
                _speedup_cell(found, facts.case, Versus.FP32),
                _speedup_cell(found, facts.case, Versus.NO_AMX),
                evidence_text(facts.case, facts.evidence),
            )
            for facts in measurement.arms
        ),
        empty="No arm of this trial ran.",
        title=_title(measurement),
    )


def result_table(trials: Iterable[TrialResult]) -> Table:
    """One table for a run, a row for each arm of each trial, each speedup with its verdict."""
    rows = []
    for trial in trials:
        found = list(comparisons(trial))
        for number, facts in enumerate(trial.measurement.arms):
            milliseconds, *_ = _step(trial.measurement, facts)
            rows.append(
                (
                    "" if number else trial.measurement.trial,
                    facts.case.arm,
                    milliseconds,
                    _short_cell(found, facts.case, Versus.FP32),
                    _short_cell(found, facts.case, Versus.NO_AMX),
                    _short_evidence(facts),
                )
            )
    return Table(_RESULT_COLUMNS, tuple(rows), empty="No arm was timed.")


def measured_text(trial: TrialResult) -> str:
    """How many rounds a trial has, what it lost, and its gates' verdicts: ``gates: 4 PASS``."""
    counts = Counter(result.verdict for result in trial.gates)
    verdicts = ", ".join(f"{counts[each]} {each}" for each in Verdict if counts[each])
    return f"{', '.join(_rounds_words(trial.measurement))}; gates: {verdicts or 'none'}"


def gate_table(results: Iterable[GateResult]) -> Table:
    """A row for each gate: minimum, speedup, verdict, reason with the next step, and source."""
    return Table(
        _GATE_COLUMNS,
        tuple(
            (
                result.gate.id,
                f"{result.gate.minimum:.2f}",
                speedup_text(result.speedup),
                Text(result.verdict, _style([result.verdict])),
                "; next: ".join(filter(None, (result.reason, result.remedy))),
                result.gate.source,
            )
            for result in results
        ),
        empty="No gate applied to what ran.",
    )


def kernel_table(facts: ArmFacts) -> Table:
    """The kernels that took the most time in an arm's evidence step, slowest first."""
    evidence = facts.evidence or Evidence(facts.case.isa, Jail.UNAVAILABLE, None)
    step = evidence.step_milliseconds
    uses = evidence.slowest
    more = f", the slowest {_MOST_KERNELS} of {len(uses)}" if len(uses) > _MOST_KERNELS else ""
    return Table(
        _KERNEL_COLUMNS,
        tuple(
            (
                f"{use.kind} {use.implementation}",
                use.data_type or "-",
                use.family,
                str(use.count),
                f"{use.milliseconds:.1f}",
                f"{use.milliseconds / step:.0%}" if step > 0 else "-",
            )
            for use in uses[:_MOST_KERNELS]
        ),
        empty="No kernel was logged.",
        title=f"{facts.case.arm}: {evidence_text(facts.case, facts.evidence)}{more}",
    )


def evidence_text(case: RunCase, evidence: Evidence | None) -> str:
    """What is proven about an arm, in a few words; ``none`` where nothing was recorded."""
    if evidence is None:
        return "none"
    if case.isa.allows_amx:
        # Rounded down: 99.6% must not read as 100%.
        return f"AMX {int(evidence.amx_share * 100)}%"
    if evidence.amx_permission is False:
        return "no AMX: " + ("jail held" if evidence.jail is Jail.HELD else "never permitted")
    if evidence.amx_permission is None:
        return "unproven: kernel does not say"
    return "AMX possible: permission held"


def speedup_text(speedup: Speedup | None) -> str:
    """``3.19x [3.10, 3.30]``; the number of rounds where they give no interval; ``-`` if None."""
    if speedup is None:
        return "-"
    return f"{speedup} ({_rounds(speedup.pairs)})" if speedup.low is None else str(speedup)


def _rounds(count: int) -> str:
    return f"{count} round" if count == 1 else f"{count} rounds"


def _title(measurement: Measurement) -> str:
    words = [measurement.trial]
    if measurement.arms:
        case = measurement.arms[0].case
        words += [str(case.shape), f"{case.cores} core{'s' * (case.cores > 1)}"]
    return ", ".join([*words, *_rounds_words(measurement), f"seed {measurement.seed}"])


def _rounds_words(measurement: Measurement) -> list[str]:
    lost = lost_share(measurement.rounds)
    waiting = [f"{lost:.0%} of the time lost to waiting for quiet"] if lost else []
    return [_rounds(len(measurement.rounds)), *waiting]


def _step(measurement: Measurement, facts: ArmFacts) -> tuple[str, str, str]:
    """Milliseconds, items a second and share of peak."""
    series = measurement.series(facts.case.id)
    if not series:
        return "-", "-", "-"
    seconds, peaks = statistics.median(series), measurement.environment.peaks
    share = None
    if peaks is not None and facts.operations_per_step:
        share = peaks.share(facts.case, facts.operations_per_step, seconds)
    return (
        f"{seconds * 1e3:.1f}",
        f"{facts.items_per_step / seconds:.1f} {facts.unit}/s",
        "-" if share is None or share > MOST_SHARE else f"{share:.0%}",
    )


def _comparison(found: Iterable[Comparison], case: RunCase, versus: Versus) -> Comparison | None:
    return next((c for c in found if c.candidate == case.arm and c.versus is versus), None)


def _speedup_cell(found: Iterable[Comparison], case: RunCase, versus: Versus) -> str | Text:
    one = _comparison(found, case, versus)
    if one is None:
        return ""
    lines = [speedup_text(one.speedup)]
    lines += [f">= {result.gate.minimum:.2f} {result.verdict}" for result in one.gates]
    return Text("\n".join(lines), _style(result.verdict for result in one.gates))


def _short_cell(found: Iterable[Comparison], case: RunCase, versus: Versus) -> str | Text:
    """The speedup and its verdict in one line."""
    one = _comparison(found, case, versus)
    if one is None:
        return ""
    ratio = "-" if one.speedup is None else f"{one.speedup.ratio:.2f}x"
    verdicts = [result.verdict for result in one.gates]
    return Text(" ".join([ratio, *verdicts]), _style(verdicts))


def _short_evidence(facts: ArmFacts) -> str:
    """``evidence_text`` in a word or two."""
    evidence = facts.evidence
    if evidence is None or facts.case.isa.allows_amx:
        return evidence_text(facts.case, evidence)
    return "no AMX" if evidence.amx_permission is False else "unproven"


def _style(verdicts: Iterable[Verdict]) -> str:
    found = set(verdicts)
    return next((style for verdict, style in _STYLES.items() if verdict in found), "")
