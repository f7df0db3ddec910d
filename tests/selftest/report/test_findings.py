"""Findings: worst first, each once, each with what to do."""

from __future__ import annotations

import msgspec
import pytest
import sample_runs as runs

from amx_suite.core.finding import Finding, Severity
from amx_suite.core.gate import Versus
from amx_suite.core.run import Check, CheckOutcome, RunSummary
from amx_suite.core.verdict import Verdict
from amx_suite.report.findings import by_severity, findings

pytestmark = pytest.mark.selftest


def found(summary: RunSummary) -> list[tuple[str, str, str]]:
    return [(f.severity.value, f.sentence, f.remedy) for f in findings(summary)]


def test_good_run_has_no_findings() -> None:
    assert findings(runs.QUALIFIED) == ()
    assert by_severity(()) == []


def test_worst_finding_comes_first() -> None:
    defect = Check("test_e", CheckOutcome.KNOWN_DEFECT, "oneDNN 1234")
    trial = runs.trial_result(runs.gate_result(), notes=("a note",))
    summary = runs.summary(defect, runs.UNDECIDED, runs.FAILED, trials=(trial,))
    severities = [severity for severity, _, _ in found(summary)]
    assert severities == ["error", "warning", "warning", "note"]
    assert [heading for heading, _ in by_severity(findings(summary))] == [
        "1 error",
        "2 warnings",
        "1 note",
    ]


def test_failed_check_says_what_to_do() -> None:
    (only,) = found(runs.NOT_QUALIFIED)
    assert only[0] == "error"
    assert only[1].startswith(f"{runs.FAILED.reason}; to blame: cannot be told: ")
    assert only[1].endswith(f" ({runs.FAILED.test_id})")
    assert "run one of these checks alone" in only[2]


def test_gate_and_its_check_are_one_finding() -> None:
    result = runs.gate_result(Verdict.FAIL, remedy="check the power limits")
    check = Check(
        "tests/performance/test_speed.py::test_speedup[a]",
        CheckOutcome.FAILED,
        f"FAIL: {result.gate.id}: {result.reason}; {result.remedy}",
    )
    (only,) = found(runs.summary(check, trials=(runs.trial_result(result),)))
    assert (only[0], only[2]) == ("error", "check the power limits")
    assert only[1].startswith(f"FAIL: {result.reason}; to blame: ")
    assert only[1].endswith(f" ({result.gate.id})")


def test_strict_run_makes_undecided_an_error() -> None:
    result = runs.gate_result(Verdict.INCONCLUSIVE, remedy="wait")
    check = Check("t", CheckOutcome.FAILED, f"INCONCLUSIVE: {result.gate.id}: too noisy; wait")
    (only,) = found(runs.summary(check, trials=(runs.trial_result(result),)))
    assert (only[0], only[2]) == ("error", "wait")


def test_shared_reason_is_there_once() -> None:
    both = [
        msgspec.structs.replace(
            runs.gate_result(Verdict.INCONCLUSIVE, versus=versus, remedy="wait"), reason="busy"
        )
        for versus in (Versus.FP32, Versus.NO_AMX)
    ]
    checks = [Check(f"test_{n}", CheckOutcome.FAILED, "wrong") for n in range(25)]
    (failed, undecided) = found(runs.summary(*checks, trials=(runs.trial_result(*both),)))
    assert failed[1].endswith("test_9, and 15 more)")
    assert all(result.gate.id in undecided[1] for result in both)


def test_missing_amx_has_its_remedy() -> None:
    assert ("error", runs.NO_AMX, "") in found(runs.NOT_USABLE)
    doctor = Finding(Severity.ERROR, "hypervisor-mask: AMX is hidden", "pass the flags")
    summary = msgspec.structs.replace(runs.NOT_USABLE, presence=(doctor,))
    assert findings(summary)[0] == doctor
    assert runs.NO_AMX not in str(found(summary))


@pytest.mark.parametrize(
    ("summary", "sentence"),
    [
        (runs.summary(runs.PASSED, interrupted=True), "the run ended early"),
        (runs.summary(runs.PASSED), "speed was not judged: no gate was decided"),
        (msgspec.structs.replace(runs.QUALIFIED, interrupted=True), "the run ended early"),
    ],
)
def test_unfinished_run_is_a_warning(summary: RunSummary, sentence: str) -> None:
    assert ("warning", sentence) in [(severity, text) for severity, text, _ in found(summary)]
    assert all(remedy for _, _, remedy in found(summary))
