"""The tables of checks answer the suite's questions."""

from __future__ import annotations

import pytest
import sample_runs as runs

from amx_suite.core.run import Check, CheckOutcome
from amx_suite.report.checks import check_table, question_table, reason_table, skip_lines

pytestmark = pytest.mark.selftest

QUESTIONS = ["detection", "instructions", "dispatch", "correctness", "performance"]


def answers(*checks: Check, amx_reason: str = "") -> list[str]:
    table = question_table(runs.summary(*checks, amx_reason=amx_reason))
    return [str(row[1]) for row in table.rows]


@pytest.mark.parametrize(
    ("outcomes", "answer"),
    [
        (["passed", "skipped"], "yes"),
        (["passed", "failed", "inconclusive"], "no"),
        (["passed", "inconclusive"], "undecided"),
        (["passed", "known defect"], "yes, but see findings"),
        (["skipped"], "not tested"),
        ([], "not tested"),
    ],
)
def test_each_question_has_its_answer(outcomes: list[str], answer: str) -> None:
    for index, folder in enumerate(QUESTIONS):
        checks = [Check(f"tests/{folder}/test_a.py::b", CheckOutcome(o)) for o in outcomes]
        assert answers(*checks)[index] == answer


def test_hidden_amx_is_not_present() -> None:
    skipped = Check("tests/detection/test_a.py::b", CheckOutcome.SKIPPED, "no AMX")
    assert answers(skipped, amx_reason=runs.NO_AMX)[0] == "no"


def test_questions_count_their_checks() -> None:
    row = question_table(runs.summary(runs.PASSED, runs.UNDECIDED, runs.FAILED)).rows[-1]
    assert row[2:] == ("1", "0", "0", "1", "0", "0")


def test_reasons_with_most_checks_come_first() -> None:
    checks = [Check(f"tests/a/test_{n}.py::b", CheckOutcome.SKIPPED, "few") for n in range(2)]
    checks += [Check(f"tests/a/test_{n}.py::c", CheckOutcome.SKIPPED, "many") for n in range(9)]
    rows = reason_table(checks).rows
    assert [row[:2] for row in rows] == [("many", "9"), ("few", "2")]
    assert rows[0][2] == "a/test_0.py::c\na/test_1.py::c\na/test_2.py::c"


def test_check_stands_with_outcome_and_reason() -> None:
    ((name, outcome, reason),) = check_table([runs.FAILED]).rows
    assert (str(name), str(outcome), str(reason)) == (
        "correctness/test_c.py::test_c",
        "failed",
        runs.FAILED.reason,
    )


def test_skips_are_counted_by_reason_in_short_lines() -> None:
    reasons = [runs.NO_AMX, f"NOT_APPLICABLE: {runs.NO_AMX}", *(["long " * 50] * 3), *"abcdef"]
    checks = [Check("a", CheckOutcome.SKIPPED, reason) for reason in reasons]
    lines = skip_lines(runs.summary(*checks, amx_reason=runs.NO_AMX), width=60)
    assert lines[0] == f"  3 skipped: {'long ' * 8}lon ..."
    assert lines[1].startswith("  2 skipped: the hypervisor hides AMX"), "one reason, one line"
    assert lines[-1] == "  3 skipped for other reasons: see the report"
    assert len(lines) == 6
    assert max(map(len, lines)) <= 60
    with_amx = skip_lines(runs.summary(*checks), width=60)
    assert not any(line.startswith("  2 skipped") for line in with_amx)
