"""From a gate's verdict to a test's outcome."""

from __future__ import annotations

__all__ = [
    "end",
    "excuse",
    "is_inconclusive",
    "is_known_defect",
    "mark",
    "one_line",
    "raise_for",
    "record",
    "why_not_usable",
]

from collections.abc import Callable

import pytest

from amx_suite.accuracy.known_defects import known_defect
from amx_suite.core.verdict import GateResult, Verdict
from amx_suite.host import Support


class _InconclusiveError(pytest.skip.Exception):  # type: ignore[name-defined,misc]
    """Ends a test that can say neither pass nor fail.

    As pytest does with its own xfail, the report's outcome stays "skipped", which is what files
    and plugins that know three outcomes can hold, and an attribute of the report says the rest.
    """


def record(result: GateResult, add: Callable[[str, object], None]) -> None:
    """Add the verdict, speedup and reason as properties; pytest writes them into its junit file."""
    add("amx_gate", result.gate.id)
    add("amx_verdict", str(result.verdict))
    add("amx_reason", result.reason)
    add("amx_minimum", f"{result.gate.minimum:g}")
    if result.speedup is not None:
        add("amx_speedup", f"{result.speedup.ratio:.4f}")
        add("amx_pairs", str(result.speedup.pairs))
        if result.speedup.low is not None:
            add("amx_speedup_low", f"{result.speedup.low:.4f}")
            add("amx_speedup_high", f"{result.speedup.high:.4f}")


def raise_for(result: GateResult, *, strict: bool) -> None:
    """Return on PASS; otherwise end the test as ``end`` does."""
    end(result.verdict, f"{result.gate.id}: {result.reason}", result.remedy, strict=strict)


def end(verdict: Verdict, reason: str, remedy: str, *, strict: bool) -> None:
    """Return on PASS; otherwise end the test as the verdict says.

    FAIL and NO_EVIDENCE fail it, NOT_APPLICABLE skips it, INCONCLUSIVE is an outcome of its own
    unless ``strict`` makes it a failure.
    """
    text = "; ".join(filter(None, (f"{verdict}: {reason}", remedy)))
    if verdict.is_failure or (strict and verdict is Verdict.INCONCLUSIVE):
        pytest.fail(text, pytrace=False)
    if verdict is Verdict.INCONCLUSIVE:
        raise _InconclusiveError(text)
    if verdict is not Verdict.PASS:
        pytest.skip(text)


def mark(report: pytest.TestReport, call: pytest.CallInfo[None]) -> None:
    """Mark the report of a test that ended inconclusive; its reason reads as that of a skip."""
    error = None if call.excinfo is None else call.excinfo.value
    if isinstance(error, _InconclusiveError) and isinstance(report.longrepr, tuple):
        path, line, _ = report.longrepr
        report.longrepr = (path, line, f"Skipped: {error.msg}")
        report.amx_inconclusive = True  # type: ignore[attr-defined]


def is_inconclusive(report: pytest.TestReport) -> bool:
    """Whether the test ended inconclusive: neither passed nor failed, nor left out."""
    return report.skipped and getattr(report, "amx_inconclusive", False)


def excuse(report: pytest.TestReport, *, strict: bool) -> None:
    """Turn a failure that a library's known defect explains into an outcome of its own.

    The report's outcome becomes "skipped", as that of an inconclusive test; not if ``strict``.
    """
    if strict or not report.failed or report.when != "call":
        return
    defect = known_defect(report.nodeid, report.longreprtext)
    if defect is not None:
        path, line, _ = report.location
        report.outcome = "skipped"
        report.longrepr = (path, line or 0, f"Skipped: KNOWN DEFECT: {defect}")
        report.amx_known_defect = True  # type: ignore[attr-defined]


def is_known_defect(report: pytest.TestReport) -> bool:
    """Whether the test failed by a library's known defect."""
    return report.skipped and getattr(report, "amx_known_defect", False)


def one_line(report: pytest.TestReport) -> str:
    """Why the test did not pass, in one line; empty if it passed."""
    if report.passed:
        return ""
    if report.skipped:
        return _skip_reason(report)
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else report.longreprtext
    return next((line.strip() for line in text.splitlines() if line.strip()), "failed")


def _skip_reason(report: pytest.TestReport) -> str:
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    return str(report.longrepr or "")


def why_not_usable(support: Support) -> str:
    """Reason code, sentence and remedy in one line; empty where AMX is usable."""
    return "" if support.usable else f"{support.reason}: {support.explanation}"
