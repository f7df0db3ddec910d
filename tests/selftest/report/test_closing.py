from __future__ import annotations

import pytest
import sample_runs as runs

from amx_suite.core.run import Check, CheckOutcome, Qualification, RunSummary
from amx_suite.core.verdict import Verdict
from amx_suite.report import closing_lines, headline

pytestmark = pytest.mark.selftest


@pytest.mark.parametrize(
    ("summary", "answer"),
    [
        (runs.QUALIFIED, "QUALIFIED"),
        (runs.NOT_QUALIFIED, "NOT QUALIFIED"),
        (runs.NOT_USABLE, "AMX NOT USABLE"),
        (runs.INCONCLUSIVE, "INCONCLUSIVE"),
    ],
)
def test_the_first_line_begins_with_the_answer(summary: RunSummary, answer: str) -> None:
    assert summary.qualification == answer
    assert closing_lines(summary)[0] == headline(summary)
    assert headline(summary).startswith(f"{answer}: ")


def test_qualified_counts_what_passed_and_what_did_not_run() -> None:
    assert "1 passed, 1 skipped" in headline(runs.QUALIFIED)
    assert "gates passed: 1 of 1" in headline(runs.QUALIFIED)


def test_not_qualified_names_each_check_with_its_reason_and_a_next_step() -> None:
    text = "\n".join(closing_lines(runs.NOT_QUALIFIED))
    assert runs.FAILED.test_id in text
    assert runs.FAILED.reason in text
    assert "Next: " in text


def test_the_remedy_of_a_failed_gate_is_said_once() -> None:
    failed = runs.gate_result(Verdict.FAIL, remedy="check the power limits")
    summary = runs.summary(runs.FAILED, trials=(runs.trial_result(failed, failed),))
    steps = [line for line in closing_lines(summary) if "check the power limits" in line]
    assert steps == ["  Next: check the power limits"]


def test_many_failures_are_cut_with_their_number() -> None:
    checks = [Check(f"test_{n}", CheckOutcome.FAILED, "wrong") for n in range(25)]
    lines = closing_lines(runs.summary(*checks))
    assert sum(": wrong" in line for line in lines) == 10
    assert "  and 15 more" in lines


def test_not_usable_gives_the_reason_with_its_remedy() -> None:
    assert runs.NO_AMX in headline(runs.NOT_USABLE)


def test_a_failure_on_a_host_without_amx_tells_of_both() -> None:
    lines = closing_lines(runs.summary(runs.FAILED, amx_reason=runs.NO_AMX))
    assert lines[0].startswith("NOT QUALIFIED")
    assert any(runs.NO_AMX in line for line in lines)


def test_inconclusive_says_why_and_what_next() -> None:
    lines = closing_lines(runs.INCONCLUSIVE)
    assert "1 of 2 checks could not be decided" in lines[0]
    assert "  Next: wait" in lines


@pytest.mark.parametrize(
    ("summary", "reason"),
    [
        (runs.summary(), "no check ran"),
        (runs.summary(runs.SKIPPED), "no check passed"),
        (runs.summary(runs.PASSED), "no gate was decided"),
        (runs.summary(runs.PASSED, trials=(runs.trial_result(),)), "trials that ran: 1"),
        (
            runs.summary(
                runs.PASSED, trials=(runs.trial_result(runs.gate_result()),), interrupted=True
            ),
            "the run ended early",
        ),
    ],
)
def test_what_was_not_measured_is_inconclusive(summary: RunSummary, reason: str) -> None:
    assert summary.qualification is Qualification.INCONCLUSIVE
    assert reason in headline(summary)
    assert any("Next: " in line for line in closing_lines(summary))


def test_level_1_asks_for_no_gate() -> None:
    summary = runs.summary(runs.PASSED, level=1)
    assert summary.qualification is Qualification.QUALIFIED
    assert "no gate" not in "\n".join(closing_lines(summary))
