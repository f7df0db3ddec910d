from __future__ import annotations

import msgspec
import pytest
import sample_runs as runs

from amx_suite.core.finding import Finding, Severity
from amx_suite.core.run import Check, CheckOutcome, RunSummary
from amx_suite.core.verdict import Verdict
from amx_suite.report.closing import closing_lines, headline, last_line

pytestmark = pytest.mark.selftest


@pytest.mark.parametrize(
    ("summary", "reason", "step"),
    [
        (runs.QUALIFIED, "checks: 1 passed, 1 skipped; gates passed: 1 of 1; ", ""),
        (
            runs.NOT_QUALIFIED,
            "checks: 1 passed, 1 failed; gates passed: 1 of 1; ",
            "run one of these checks alone",
        ),
        (runs.NOT_USABLE, runs.NO_AMX, ""),
        (runs.INCONCLUSIVE, "1 of 2 checks could not be decided", "wait"),
        (runs.summary(), "no check ran", "see why checks were skipped"),
        (runs.summary(runs.SKIPPED), "no check passed", "see why checks"),
        (
            runs.summary(runs.PASSED, trials=(runs.trial_result(),)),
            "no gate was decided (trials that ran: 1)",
            "see why checks were skipped",
        ),
        (
            runs.summary(runs.PASSED, runs.UNDECIDED, level=1),
            "1 of 2 checks",
            "run it again when the machine is quiet",
        ),
        (
            msgspec.structs.replace(runs.QUALIFIED, interrupted=True),
            "the run ended early",
            "run it again, to its end",
        ),
    ],
)
def test_answer_has_its_reason_and_next_step(summary: RunSummary, reason: str, step: str) -> None:
    lines = closing_lines(summary)
    assert headline(summary).startswith(reason)
    assert any(line.startswith(f"  Next: {step}") for line in lines) is bool(step)


def test_failed_check_is_named_and_remedy_once() -> None:
    failed = runs.gate_result(Verdict.FAIL, remedy="check the power limits")
    summary = runs.summary(runs.FAILED, trials=(runs.trial_result(failed, failed),))
    lines = closing_lines(summary)
    assert lines.count("  Next: check the power limits") == 1
    (line,) = (line for line in lines if runs.FAILED.test_id in line)
    assert line.startswith(f"  Error: {runs.FAILED.reason}; to blame: ")


def test_long_list_ends_with_the_rest() -> None:
    checks = [Check(f"test_{n}", CheckOutcome.FAILED, f"wrong {n}") for n in range(25)]
    lines = closing_lines(runs.summary(*checks))
    assert sum(": wrong" in line for line in lines) == 10
    assert "  and 15 more: see the report" in lines


def test_failure_without_amx_names_both() -> None:
    lines = closing_lines(runs.summary(runs.FAILED, amx_reason=runs.NO_AMX))
    assert f"  Error: {runs.NO_AMX}" in lines
    assert any(runs.FAILED.test_id in line for line in lines)


def test_missing_amx_has_reason_and_remedy() -> None:
    hidden = Finding(Severity.ERROR, "hypervisor-mask: AMX is hidden", "pass the flags")
    summary = msgspec.structs.replace(
        runs.NOT_USABLE, presence=(hidden,), trials=(runs.trial_result(),)
    )
    assert closing_lines(summary) == [
        "  Error: hypervisor-mask: AMX is hidden",
        "  Next: pass the flags",
    ]
    assert headline(summary) == hidden.sentence
    assert last_line(summary, "r.html") == (
        "AMX NOT USABLE (exit code 3): 3 arms without AMX were measured; see r.html"
    )


def test_known_defect_warns_and_qualifies() -> None:
    defect = Check("test_e", CheckOutcome.KNOWN_DEFECT, "oneDNN 1234")
    summary = runs.summary(runs.PASSED, defect, level=1)
    assert last_line(summary, "r.html").startswith("QUALIFIED (exit code 0): ")
    assert "  Warning: oneDNN 1234 (test_e)" in closing_lines(summary)


def test_faulty_hardware_does_not_qualify() -> None:
    faulty = runs.with_health(runs.QUALIFIED, runs.FAULT)
    assert faulty.qualification.exit_code == 1
    assert headline(faulty).startswith("the hardware reports errors; checks: 1 passed")
    assert closing_lines(faulty) == [
        f"  Error: {runs.FAULT.sentence}",
        f"  Next: {runs.FAULT.remedy}",
    ]
    hidden = runs.with_health(runs.NOT_USABLE, runs.FAULT)
    assert hidden.qualification.exit_code == 1, "a fault comes before a machine without AMX"


def test_warning_about_machine_is_named() -> None:
    lines = closing_lines(runs.with_health(runs.QUALIFIED, runs.HOT, runs.SLOW_GOVERNOR))
    assert lines[1:] == ["  Warning: the CPUs were hot", "  Next: check the fans"], "no note"
