"""What a run found besides the checks that passed: one list, worst first, each with what to do."""

from __future__ import annotations

__all__ = ["by_severity", "findings"]

from collections.abc import Iterable, Iterator, Sequence

import msgspec

from amx_suite.core.finding import Finding, Severity
from amx_suite.core.run import Check, CheckOutcome, RunSummary
from amx_suite.core.verdict import GateResult, Verdict
from amx_suite.report.blame import blame

#: The severity of an outcome, and what to do where the check itself does not say.
_OUTCOMES = {
    CheckOutcome.FAILED: (
        Severity.ERROR,
        "run one of these checks alone, with pytest and its id, to see its whole message",
    ),
    CheckOutcome.INCONCLUSIVE: (Severity.WARNING, "run it again when the machine is quiet"),
    CheckOutcome.KNOWN_DEFECT: (
        Severity.WARNING,
        "update the library once it is mended; until then a --strict run fails",
    ),
    CheckOutcome.WAIVED: (Severity.WARNING, "mend it before the waiver ends"),
}

#: So many checks or gates are named in a finding that they share.
_MOST_NAMED = 10


def findings(summary: RunSummary) -> tuple[Finding, ...]:
    """The findings of a run, worst first; what several checks or gates share is there once."""
    found = [
        *_presence(summary),
        *summary.findings,
        *_grouped(_of_checks(summary)),
        *_of_run(summary),
        *(
            Finding(Severity.NOTE, f"{trial.measurement.trial}: {note}")
            for trial in summary.trials
            for note in trial.measurement.notes
        ),
    ]
    return tuple(one for severity in Severity for one in found if one.severity is severity)


def by_severity(found: Sequence[Finding]) -> list[tuple[str, tuple[Finding, ...]]]:
    """A heading with its count for each severity that occurs, and its findings."""
    groups = [
        (severity, tuple(f for f in found if f.severity is severity)) for severity in Severity
    ]
    return [
        (f"{len(group)} {severity}{'s' * (len(group) > 1)}", group)
        for severity, group in groups
        if group
    ]


def _presence(summary: RunSummary) -> tuple[Finding, ...]:
    if summary.presence or summary.amx_usable:
        return summary.presence
    # Files of earlier versions have the reason with its remedy only.
    return (Finding(Severity.ERROR, summary.amx_reason or "AMX is not usable"),)


def _of_run(summary: RunSummary) -> Iterator[Finding]:
    if summary.interrupted:
        yield Finding(Severity.WARNING, summary.early_end, "run it again, to its end")
    verdicts = {result.verdict for trial in summary.trials for result in trial.gates}
    # What keeps AMX from being used, or a gate undecided, is a finding of its own.
    if summary.amx_usable and summary.unmeasured and Verdict.INCONCLUSIVE not in verdicts:
        yield Finding(
            Severity.WARNING,
            "speed was not judged: no gate was decided",
            "see why checks were skipped, and `amx-suite list` for the cases that have gates",
        )


def _of_checks(summary: RunSummary) -> Iterator[tuple[Finding, str]]:
    """A finding for each check and each gate that did not pass, and its name."""
    gates = {
        (result.verdict, result.gate.id): result
        for trial in summary.trials
        for result in trial.gates
        if result.verdict.is_failure or result.verdict is Verdict.INCONCLUSIVE
    }
    for check in summary.checks:
        if check.outcome not in _OUTCOMES:
            continue
        result = _take_gate(check, gates)
        severity, remedy = _OUTCOMES[check.outcome]
        found, name = Finding(severity, check.reason or "no reason given", remedy), check.test_id
        if result is not None:
            found, name = _of_gate(severity, result), result.gate.id
        if check.outcome is CheckOutcome.FAILED:
            sentence = f"{found.sentence}; to blame: {blame(check, summary)}"
            found = msgspec.structs.replace(found, sentence=sentence)
        yield found, name
    for result in gates.values():
        outcome = CheckOutcome.FAILED if result.verdict.is_failure else CheckOutcome.INCONCLUSIVE
        yield _of_gate(_OUTCOMES[outcome][0], result), result.gate.id


def _take_gate(check: Check, gates: dict[tuple[Verdict, str], GateResult]) -> GateResult | None:
    """The gate of which the check speaks, taken out of ``gates``; its test begins so."""
    if check.outcome not in (CheckOutcome.FAILED, CheckOutcome.INCONCLUSIVE):
        return None
    key = next((k for k in gates if check.reason.startswith(f"{k[0]}: {k[1]}: ")), None)
    return None if key is None else gates.pop(key)


def _of_gate(severity: Severity, result: GateResult) -> Finding:
    return Finding(severity, f"{result.verdict}: {result.reason}", result.remedy)


def _grouped(found: Iterable[tuple[Finding, str]]) -> Iterator[Finding]:
    groups: dict[Finding, list[str]] = {}
    for finding, name in found:
        groups.setdefault(finding, []).append(name)
    for finding, names in groups.items():
        more = f", and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        named = ", ".join(names[:_MOST_NAMED]) + more
        yield Finding(finding.severity, f"{finding.sentence} ({named})", finding.remedy)
