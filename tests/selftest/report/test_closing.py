from __future__ import annotations

import msgspec
import pytest
import sample_runs as runs

from amx_suite.core.run import Check, CheckOutcome, RunSummary
from amx_suite.core.verdict import Verdict
from amx_suite.report.closing import closing_lines

pytestmark = pytest.mark.selftest


@pytest.mark.parametrize(
    ("summary", "headline", "step"),
    [
        (runs.QUALIFIED, "QUALIFIED: checks: 1 passed, 1 skipped; gates passed: 1 of 1; ", ""),
        (
            runs.NOT_QUALIFIED,
            "NOT QUALIFIED: checks: 1 passed, 1 failed; gates passed: 1 of 1; ",
            "run a failed check alone",
        ),
        (runs.NOT_USABLE, f"AMX NOT USABLE: {runs.NO_AMX}", ""),
        (runs.INCONCLUSIVE, "INCONCLUSIVE: 1 of 2 checks could not be decided", "wait"),
        (runs.summary(), "INCONCLUSIVE: no check ran", "see why checks were skipped"),
        (runs.summary(runs.SKIPPED), "INCONCLUSIVE: no check passed", "see why checks"),
        (
            runs.summary(runs.PASSED, trials=(runs.trial_result(),)),
            "INCONCLUSIVE: no gate was decided (trials that ran: 1)",
            "see why checks were skipped",
        ),
        (
            runs.summary(runs.PASSED, runs.UNDECIDED, level=1),
            "INCONCLUSIVE: 1 of 2 checks",
            "run it again when the machine is quiet",
        ),
        (
            msgspec.structs.replace(runs.QUALIFIED, interrupted=True),
            "INCONCLUSIVE: the run ended early",
            "run it again, to its end",
        ),
    ],
)
def test_answer_has_its_reason_and_next_step(summary: RunSummary, headline: str, step: str) -> None:
    first, *lines = closing_lines(summary)
    assert first.startswith(headline)
    assert any(line.startswith(f"  Next: {step}") for line in lines) is bool(step)


def test_failed_check_is_named_and_remedy_once() -> None:
    failed = runs.gate_result(Verdict.FAIL, remedy="check the power limits")
    summary = runs.summary(runs.FAILED, trials=(runs.trial_result(failed, failed),))
    lines = closing_lines(summary)
    assert lines.count("  Next: check the power limits") == 1
    assert f"  {runs.FAILED.test_id}: {runs.FAILED.reason}" in lines


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


def test_faulty_hardware_does_not_qualify() -> None:
    faulty = runs.with_health(runs.QUALIFIED, runs.FAULT)
    assert faulty.qualification.exit_code == 1
    first, *lines = closing_lines(faulty)
    assert first.startswith("NOT QUALIFIED: the hardware reports errors; checks: 1 passed")
    assert f"  {runs.FAULT}" in lines
    assert not [line for line in lines if "run a failed check" in line]
    hidden = runs.with_health(runs.NOT_USABLE, runs.FAULT)
    assert hidden.qualification.exit_code == 1, "a fault comes before a machine without AMX"


def test_warning_about_machine_is_named() -> None:
    first, *lines = closing_lines(runs.with_health(runs.QUALIFIED, runs.HOT, runs.SLOW_GOVERNOR))
    assert first.startswith("QUALIFIED: ")
    assert "  Warning: the CPUs were hot; what to do: check the fans" in lines
    assert not [line for line in lines if "powersave" in line], "notes are in the report only"
