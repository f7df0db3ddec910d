"""The end of a run: the answer, why, and what to do next."""

from __future__ import annotations

__all__ = ["closing_lines", "headline"]

from collections.abc import Iterable

from amx_suite.core.run import Check, CheckOutcome, Qualification, RunSummary
from amx_suite.core.verdict import GateResult, Verdict

#: Beyond this many lines of one kind the terminal refers to the report.
_MOST_SHOWN = 10


def headline(summary: RunSummary) -> str:
    """The answer in one line, with its main reason."""
    answer = summary.qualification
    counts = _counts(summary)
    if answer is Qualification.QUALIFIED:
        return f"{answer}: {counts}"
    if answer is Qualification.NOT_USABLE:
        return f"{answer}: {summary.amx_reason}"
    if answer is Qualification.NOT_QUALIFIED:
        return f"{answer}: {counts}"
    return f"{answer}: {'; '.join(_why_inconclusive(summary))}"


def closing_lines(summary: RunSummary) -> tuple[str, ...]:
    """The headline, then the checks behind it and what to do next, one line each."""
    answer = summary.qualification
    lines = [headline(summary)]
    if answer is Qualification.QUALIFIED:
        lines.append("Only the checks that passed are vouched for.")
    if answer is Qualification.NOT_QUALIFIED:
        lines += _listed(summary.checks_that(CheckOutcome.FAILED))
        if not summary.amx_usable:
            lines.append(f"  AMX is not usable here: {summary.amx_reason}")
        if summary.interrupted:
            lines.append("  The run ended early, so there may be more.")
    if answer is Qualification.NOT_USABLE:
        lines.append(f"  {_counts(summary)}")
    if answer is Qualification.INCONCLUSIVE:
        lines += _listed(summary.checks_that(CheckOutcome.INCONCLUSIVE))
    known = summary.checks_that(CheckOutcome.KNOWN_DEFECT)
    if known:
        lines.append("  Warning: a library here has known defects, which a strict run fails by:")
        lines += _listed(known)
    lines += [f"  Next: {step}" for step in _next_steps(summary)]
    return tuple(lines)


def _counts(summary: RunSummary) -> str:
    numbers = {outcome: len(summary.checks_that(outcome)) for outcome in CheckOutcome}
    checks = ", ".join(f"{number} {outcome}" for outcome, number in numbers.items() if number)
    gates = [result.verdict for trial in summary.trials for result in trial.gates]
    passed = gates.count(Verdict.PASS)
    engines = ", ".join(summary.engines) or "no engine"
    minutes, seconds = divmod(round(summary.elapsed_seconds), 60)
    return (
        f"checks: {checks or 'none ran'}; gates passed: {passed} of {len(gates)}; "
        f"level {summary.level}, {engines}, {minutes} min {seconds} s"
    )


def _listed(checks: tuple[Check, ...]) -> list[str]:
    lines = [f"  {check.test_id}: {check.reason or 'no reason given'}" for check in checks]
    if len(lines) > _MOST_SHOWN:
        rest = len(lines) - _MOST_SHOWN
        lines[_MOST_SHOWN:] = [f"  and {rest} more"]
    return lines


def _why_inconclusive(summary: RunSummary) -> list[str]:
    """Everything that kept the answer open, at least one reason."""
    reasons = []
    if summary.interrupted:
        reasons.append("the run ended early")
    undecided = len(summary.checks_that(CheckOutcome.INCONCLUSIVE))
    if undecided:
        reasons.append(f"{undecided} of {len(summary.checks)} checks could not be decided")
    if not summary.checks_that(CheckOutcome.PASSED):
        reasons.append("no check passed" if summary.checks else "no check ran")
    if summary.unmeasured:
        reasons.append(f"no gate was decided (trials that ran: {len(summary.trials)})")
    return reasons


def _next_steps(summary: RunSummary) -> list[str]:
    """What to do, each step once; empty where there is nothing to do."""
    answer = summary.qualification
    if answer in (Qualification.QUALIFIED, Qualification.NOT_USABLE):
        # The reason of NOT_USABLE already holds its remedy.
        return []
    gates = [result for trial in summary.trials for result in trial.gates]
    if answer is Qualification.NOT_QUALIFIED:
        steps = _remedies(result for result in gates if result.verdict.is_failure)
        return steps or ["run a failed check alone, with pytest and its id, to see all it says"]
    steps = _remedies(result for result in gates if result.verdict is Verdict.INCONCLUSIVE)
    if summary.interrupted:
        steps.insert(0, "run it again, to its end")
    if summary.unmeasured and not steps:
        steps.append(
            "see the reasons of the skipped checks, and `amx-suite list` for which cases have gates"
        )
    return steps or ["run it again when the machine is quiet"]


def _remedies(results: Iterable[GateResult]) -> list[str]:
    return list(dict.fromkeys(result.remedy for result in results if result.remedy))
