"""The end of a run: the answer and what stands behind it, what was found, and what to do next."""

from __future__ import annotations

__all__ = ["closing_lines", "duration_text", "headline", "last_line"]


from amx_suite.core.finding import Severity
from amx_suite.core.run import Qualification, RunSummary
from amx_suite.core.verdict import Verdict
from amx_suite.report.checks import counts_text
from amx_suite.report.findings import by_severity, findings

#: The terminal shows this many findings of one severity; the report has all of them.
_MOST_SHOWN = 10


def headline(summary: RunSummary) -> str:
    """What stands behind the run's answer, in a line without the answer itself."""
    answer = summary.qualification
    if answer is Qualification.INCONCLUSIVE:
        return "; ".join(summary.why_inconclusive)
    if answer is Qualification.NOT_USABLE:
        return findings(summary)[0].sentence
    faulty = "the hardware reports errors; " if summary.findings_of(Severity.ERROR) else ""
    gates = [result.verdict for trial in summary.trials for result in trial.gates]
    engines = ", ".join(summary.engines) or "no engine"
    return (
        f"{faulty}checks: {counts_text(summary.checks)}; "
        f"gates passed: {gates.count(Verdict.PASS)} of {len(gates)}; "
        f"level {summary.level}, {engines}, {duration_text(summary)}"
    )


def closing_lines(summary: RunSummary) -> list[str]:
    """The findings but for the notes, then each of their remedies once."""
    shown = [found for found in findings(summary) if found.severity is not Severity.NOTE]
    lines = []
    if summary.qualification is Qualification.QUALIFIED:
        lines.append("This covers only the checks that passed.")
    for _, group in by_severity(shown):
        lines += [f"  {f.severity.capitalize()}: {f.sentence}" for f in group[:_MOST_SHOWN]]
        if len(group) > _MOST_SHOWN:
            lines.append(f"  and {len(group) - _MOST_SHOWN} more: see the report")
    steps = dict.fromkeys(found.remedy for found in shown if found.remedy)
    return [*lines, *(f"  Next: {step}" for step in steps)]


def last_line(summary: RunSummary, report: str) -> str:
    """One sentence with the answer, the exit code, the headline, and the report's path.

    Where AMX is not usable, of which the findings before it say why, it says what was measured. It
    names the signal that ended the run.
    """
    answer, said = summary.qualification, headline(summary)
    if answer is Qualification.NOT_USABLE:
        arms = sum(len(trial.measurement.arms) for trial in summary.trials)
        said = (
            f"{arms} arm{'s' * (arms != 1)} without AMX {'were' if arms != 1 else 'was'} measured"
        )
    if answer is not Qualification.INCONCLUSIVE and summary.interrupted:
        said = f"{said}; {summary.early_end}"
    return f"{answer} (exit code {answer.exit_code:d}): {said}; see {report}"


def duration_text(summary: RunSummary) -> str:
    """How long the run took, as in ``4 min 11 s``."""
    minutes, seconds = divmod(round(summary.elapsed_seconds), 60)
    return f"{minutes} min {seconds} s"
