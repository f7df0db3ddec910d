from __future__ import annotations

import pytest
import sample_runs as runs

from amx_suite.core.run import Check, CheckOutcome, Qualification, RunSummary
from amx_suite.core.verdict import Verdict
from amx_suite.report.closing import closing_lines

pytestmark = pytest.mark.selftest


@pytest.mark.parametrize(
    ("summary", "answer", "texts"),
    [
        (runs.QUALIFIED, "QUALIFIED", ["1 passed, 1 skipped", "gates passed: 1 of 1"]),
        (runs.NOT_QUALIFIED, "NOT QUALIFIED", ["1 passed, 1 failed"]),
        (runs.NOT_USABLE, "AMX NOT USABLE", [runs.NO_AMX]),
        (runs.INCONCLUSIVE, "INCONCLUSIVE", ["1 of 2 checks could not be decided"]),
    ],
)
def test_first_line_is_answer_with_reason(
    summary: RunSummary, answer: str, texts: list[str]
) -> None:
    headline = closing_lines(summary)[0]
    assert headline.startswith(f"{answer}: ")
    assert all(text in headline for text in texts)


def test_failed_check_is_named_with_next_step() -> None:
    lines = closing_lines(runs.NOT_QUALIFIED)
    assert f"  {runs.FAILED.test_id}: {runs.FAILED.reason}" in lines
    assert lines[-1].startswith("  Next: ")


def test_remedy_of_several_gates_appears_once() -> None:
    failed = runs.gate_result(Verdict.FAIL, remedy="check the power limits")
    summary = runs.summary(runs.FAILED, trials=(runs.trial_result(failed, failed),))
    steps = [line for line in closing_lines(summary) if "check the power limits" in line]
    assert steps == ["  Next: check the power limits"]


def test_long_list_ends_with_the_rest() -> None:
    checks = [Check(f"test_{n}", CheckOutcome.FAILED, "wrong") for n in range(25)]
    lines = closing_lines(runs.summary(*checks))
    assert sum(": wrong" in line for line in lines) == 10
    assert "  and 15 more" in lines


def test_failure_without_amx_names_both() -> None:
    lines = closing_lines(runs.summary(runs.FAILED, amx_reason=runs.NO_AMX))
    assert lines[0].startswith("NOT QUALIFIED")
    assert any(runs.NO_AMX in line for line in lines)


def test_known_defect_warns_and_qualifies() -> None:
    defect = Check("test_e", CheckOutcome.KNOWN_DEFECT, "oneDNN 1234")
    lines = closing_lines(runs.summary(runs.PASSED, defect, level=1))
    assert lines[0].startswith("QUALIFIED: ")
    assert "  test_e: oneDNN 1234" in lines


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
def test_unmeasured_run_is_inconclusive(summary: RunSummary, reason: str) -> None:
    assert summary.qualification is Qualification.INCONCLUSIVE
    lines = closing_lines(summary)
    assert reason in lines[0]
    assert lines[-1].startswith("  Next: ")
