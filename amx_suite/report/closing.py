"""The end of a run: the answer, the checks behind it, and what to do next."""

from __future__ import annotations

__all__ = ["closing_lines"]

from amx_suite.core.run import Check, CheckOutcome, Qualification, RunSummary
from amx_suite.core.verdict import Verdict

#: The terminal shows this many checks of one outcome; the report has all of them.
_MOST_SHOWN = 10


def closing_lines(summary: RunSummary) -> tuple[str, ...]:
    """The answer with its main reason, then the details, one line each."""
    answer = summary.qualification
    counts = _counts(summary)
    if answer is Qualification.QUALIFIED:
        headline, details = counts, ["This covers only the checks that passed."]
    elif answer is Qualification.NOT_USABLE:
        headline, details = summary.amx_reason, [f"  {counts}"]
    elif answer is Qualification.INCONCLUSIVE:
        headline = "; ".join(summary.why_inconclusive)
        details = _listed(summary, CheckOutcome.INCONCLUSIVE)
    else:
        headline, details = counts, _listed(summary, CheckOutcome.FAILED)
        if not summary.amx_usable:
            details.append(f"  AMX is not usable here: {summary.amx_reason}")
        if summary.interrupted:
            details.append("  The run ended early, so more checks may fail.")
    known = _listed(summary, CheckOutcome.KNOWN_DEFECT)
    if known:
        details += ["  Warning: known defects of a library, failures in a --strict run:", *known]
    details += [f"  Next: {step}" for step in _next_steps(summary)]
    return (f"{answer}: {headline}", *details)


def _counts(summary: RunSummary) -> str:
    numbers = {outcome: len(summary.checks_that(outcome)) for outcome in CheckOutcome}
    checks = ", ".join(f"{number} {outcome}" for outcome, number in numbers.items() if number)
    gates = [result.verdict for trial in summary.trials for result in trial.gates]
    engines = ", ".join(summary.engines) or "no engine"
    minutes, seconds = divmod(round(summary.elapsed_seconds), 60)
    return (
        f"checks: {checks or 'none ran'}; gates passed: {gates.count(Verdict.PASS)} of "
        f"{len(gates)}; level {summary.level}, {engines}, {minutes} min {seconds} s"
    )


def _listed(summary: RunSummary, outcome: CheckOutcome) -> list[str]:
    checks = summary.checks_that(outcome)
    lines = [_line(check) for check in checks[:_MOST_SHOWN]]
    if len(checks) > _MOST_SHOWN:
        lines.append(f"  and {len(checks) - _MOST_SHOWN} more")
    return lines


def _line(check: Check) -> str:
    return f"  {check.test_id}: {check.reason or 'no reason given'}"


def _next_steps(summary: RunSummary) -> list[str]:
    """Each step once; none where the answer says already what to do."""
    gates = [result for trial in summary.trials for result in trial.gates]
    if summary.qualification is Qualification.NOT_QUALIFIED:
        remedies = [result.remedy for result in gates if result.verdict.is_failure]
        default = "run a failed check alone, with pytest and its id, to see its whole message"
    elif summary.qualification is Qualification.INCONCLUSIVE:
        remedies = [r.remedy for r in gates if r.verdict is Verdict.INCONCLUSIVE]
        if summary.interrupted:
            remedies.insert(0, "run it again, to its end")
        default = "run it again when the machine is quiet"
        if summary.unmeasured:
            default = (
                "see why checks were skipped, and `amx-suite list` for the cases that have gates"
            )
    else:
        return []
    return list(dict.fromkeys(filter(None, remedies))) or [default]
