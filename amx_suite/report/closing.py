"""The end of a run: the answer, the checks behind it, and what to do next."""

from __future__ import annotations

__all__ = ["closing_lines", "counts_text", "duration_text", "last_line"]

import math
from collections.abc import Sequence

from amx_suite.core.finding import Severity
from amx_suite.core.run import CheckOutcome, Qualification, RunSummary
from amx_suite.core.verdict import GateResult, Verdict
from amx_suite.report.blame import blame

#: The terminal shows this many checks of one outcome; the report has all of them.
_MOST_SHOWN = 10


def closing_lines(summary: RunSummary) -> tuple[str, ...]:
    """The answer with its main reason, then the details, one line each."""
    answer = summary.qualification
    gates = [result for trial in summary.trials for result in trial.gates]
    headline = _counts(summary, gates)
    steps: list[str] = []
    if answer is Qualification.QUALIFIED:
        details = ["This covers only the checks that passed."]
    elif answer is Qualification.NOT_USABLE:
        headline, details = summary.amx_reason, [f"  {headline}"]
    elif answer is Qualification.INCONCLUSIVE:
        headline = "; ".join(summary.why_inconclusive)
        details = _listed(summary, CheckOutcome.INCONCLUSIVE)
        steps = ["run it again, to its end"] if summary.interrupted else []
        steps += [r.remedy for r in gates if r.verdict is Verdict.INCONCLUSIVE and r.remedy]
        if not steps and summary.unmeasured:
            steps = [
                "see why checks were skipped, and `amx-suite list` for the cases that have gates"
            ]
        steps = steps or ["run it again when the machine is quiet"]
    else:
        details = _listed(summary, CheckOutcome.FAILED)
        if summary.findings_of(Severity.ERROR):
            headline = f"the hardware reports errors; {headline}"
        if not summary.amx_usable:
            details.append(f"  AMX is not usable here: {summary.amx_reason}")
        if summary.interrupted:
            details.append("  The run ended early, so more checks may fail.")
        steps = [r.remedy for r in gates if r.verdict.is_failure and r.remedy]
        if summary.checks_that(CheckOutcome.FAILED) and not steps:
            steps = ["run a failed check alone, with pytest and its id, to see its whole message"]
    details += [f"  {f}" for f in summary.findings_of(Severity.ERROR, Severity.WARNING)]
    known = _listed(summary, CheckOutcome.KNOWN_DEFECT)
    if known:
        details += ["  Warning: known defects of a library, failures in a --strict run:", *known]
    waived = _listed(summary, CheckOutcome.WAIVED)
    if waived:
        details += ["  Warning: failures that are waived:", *waived]
    details += [f"  Next: {step}" for step in dict.fromkeys(steps)]
    return (f"{answer}: {headline}", *details)


def last_line(summary: RunSummary, report: str) -> str:
    """One sentence with the answer, the exit code, what stands behind them, and the report's path.

    Where AMX is not usable it says what was measured all the same.
    """
    answer = summary.qualification
    said = closing_lines(summary)[0].removeprefix(f"{answer}: ")
    if answer is Qualification.NOT_USABLE:
        arms = sum(len(trial.measurement.arms) for trial in summary.trials)
        said = (
            f"{arms} arm{'s' * (arms != 1)} without AMX {'were' if arms != 1 else 'was'} measured"
        )
    return f"{answer} (exit code {answer.exit_code:d}): {said}; see {report}"


def duration_text(summary: RunSummary) -> str:
    """How long the run took, as in ``4 min 11 s``."""
    if not math.isfinite(summary.elapsed_seconds):
        return "unknown time"
    minutes, seconds = divmod(round(summary.elapsed_seconds), 60)
    return f"{minutes} min {seconds} s"


def counts_text(summary: RunSummary) -> str:
    """How many checks ended in each way, as in ``checks: 5 passed, 1 failed``."""
    numbers = {outcome: len(summary.checks_that(outcome)) for outcome in CheckOutcome}
    checks = ", ".join(f"{number} {outcome}" for outcome, number in numbers.items() if number)
    return f"checks: {checks or 'none ran'}"


def _counts(summary: RunSummary, gates: Sequence[GateResult]) -> str:
    passed = sum(result.verdict is Verdict.PASS for result in gates)
    engines = ", ".join(summary.engines) or "no engine"
    return (
        f"{counts_text(summary)}; gates passed: {passed} of {len(gates)}; "
        f"level {summary.level}, {engines}, {duration_text(summary)}"
    )


def _listed(summary: RunSummary, outcome: CheckOutcome) -> list[str]:
    checks, lines = summary.checks_that(outcome), []
    for check in checks[:_MOST_SHOWN]:
        lines.append(f"  {check.test_id}: {check.reason or 'no reason given'}")
        if outcome is CheckOutcome.FAILED:
            lines.append(f"    To blame: {blame(check, summary)}")
    if len(checks) > _MOST_SHOWN:
        lines.append(f"  and {len(checks) - _MOST_SHOWN} more")
    return lines
