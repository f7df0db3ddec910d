"""The rows of checks: the answer to each question, and the checks of one outcome by reason."""

from __future__ import annotations

__all__ = [
    "check_table",
    "checks_on",
    "counts_text",
    "question_table",
    "reason_table",
    "short_id",
    "skip_lines",
]

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec
from rich.text import Text

from amx_suite.core.run import Check, CheckOutcome, RunSummary
from amx_suite.report.table import Column, Table

#: The folder of a conformance test, and the question that it asks.
_QUESTIONS = {
    "detection": "Is AMX present?",
    "instructions": "Is it exact?",
    "dispatch": "Is it used?",
    "correctness": "Is it accurate?",
    "performance": "Is it fast?",
}

_STYLES = {
    CheckOutcome.PASSED: "green",
    CheckOutcome.FAILED: "bold red",
    CheckOutcome.SKIPPED: "dim",
    CheckOutcome.INCONCLUSIVE: "yellow",
    CheckOutcome.KNOWN_DEFECT: "yellow",
    CheckOutcome.WAIVED: "yellow",
}

#: A reason that more checks share is shown with so many of their ids.
_MOST_NAMED = 3
#: So many reasons have a line of their own.
_MOST_REASONS = 5


def checks_on(summary: RunSummary, folder: str) -> tuple[Check, ...]:
    """The checks in one of the folders of conformance tests, such as ``correctness``."""
    return tuple(check for check in summary.checks if _folder(check) == folder)


def counts_text(checks: Iterable[Check]) -> str:
    """How many checks ended in each way, as in ``5 passed, 1 failed``."""
    found = Counter(check.outcome for check in checks)
    return ", ".join(f"{found[each]} {each}" for each in CheckOutcome if found[each]) or "none ran"


def question_table(summary: RunSummary) -> Table:
    """A row for each question: its answer, and how many checks ended in each way."""
    return Table(
        (
            Column("question"),
            Column("answer"),
            *(Column(str(outcome), align_right=True) for outcome in CheckOutcome),
        ),
        tuple(
            (question, _answer(summary, folder), *_counts(checks_on(summary, folder)))
            for folder, question in _QUESTIONS.items()
        ),
        empty="",
    )


def check_table(checks: Sequence[Check], *, title: str = "") -> Table:
    """A row for each check: its id without the folders, outcome and reason."""
    return Table(
        (Column("check", wraps=True), Column("outcome"), Column("reason", wraps=True)),
        tuple(
            (short_id(check), Text(check.outcome, _STYLES[check.outcome]), check.reason)
            for check in checks
        ),
        empty="No such check ran.",
        title=title,
    )


def reason_table(checks: Iterable[Check]) -> Table:
    """A row for each reason, those with the most checks first, and some of these checks."""
    return Table(
        (Column("reason", wraps=True), Column("checks", align_right=True), Column("for example")),
        tuple(
            (reason, str(len(found)), "\n".join(map(short_id, found[:_MOST_NAMED])))
            for reason, found in _by_reason(checks)
        ),
        empty="No check was skipped.",
    )


def skip_lines(summary: RunSummary, *, width: int) -> list[str]:
    """A line of at most ``width`` columns for each of the most frequent reasons of skips.

    That AMX is not usable is one reason, whatever test, arm or gate is skipped for it.
    """
    skipped, no_amx = summary.checks_that(CheckOutcome.SKIPPED), summary.amx_reason
    groups = _by_reason(
        msgspec.structs.replace(check, reason=no_amx)
        if no_amx and no_amx in check.reason
        else check
        for check in skipped
    )
    lines = [f"  {len(found)} skipped: {reason}" for reason, found in groups[:_MOST_REASONS]]
    if len(groups) > _MOST_REASONS:
        rest = sum(len(found) for _, found in groups[_MOST_REASONS:])
        lines.append(f"  {rest} skipped for other reasons: see the report")
    return [line if len(line) <= width else f"{line[: width - 4]} ..." for line in lines]


def _by_reason(checks: Iterable[Check]) -> list[tuple[str, list[Check]]]:
    """The checks by reason, those of the most frequent reason first."""
    groups: dict[str, list[Check]] = {}
    for check in checks:
        groups.setdefault(check.reason or "no reason given", []).append(check)
    return sorted(groups.items(), key=lambda group: -len(group[1]))


def _answer(summary: RunSummary, folder: str) -> Text:
    outcomes = {check.outcome for check in checks_on(summary, folder)}
    if CheckOutcome.FAILED in outcomes or (folder == "detection" and not summary.amx_usable):
        return Text("no", _STYLES[CheckOutcome.FAILED])
    if CheckOutcome.INCONCLUSIVE in outcomes:
        return Text("undecided", _STYLES[CheckOutcome.INCONCLUSIVE])
    if CheckOutcome.PASSED not in outcomes:
        return Text("not tested", _STYLES[CheckOutcome.SKIPPED])
    if outcomes & {CheckOutcome.KNOWN_DEFECT, CheckOutcome.WAIVED}:
        return Text("yes, but see findings", _STYLES[CheckOutcome.KNOWN_DEFECT])
    return Text("yes", _STYLES[CheckOutcome.PASSED])


def _counts(checks: Sequence[Check]) -> tuple[str, ...]:
    return tuple(str(sum(c.outcome is outcome for c in checks)) for outcome in CheckOutcome)


def _folder(check: Check) -> str:
    """The innermost folder of its file, ``correctness`` for ``tests/correctness/test_a.py::b``."""
    parts = check.test_id.partition("::")[0].split("/")
    return parts[-2] if len(parts) > 1 else ""


def short_id(check: Check) -> str:
    """The check's id without the folder that all have."""
    return re.sub(r"^tests/", "", check.test_id)
