"""How a test ends: from verdicts and errors to outcomes, and from outcomes to checks."""

from __future__ import annotations

__all__ = [
    "classify",
    "end",
    "errors_end_test",
    "keep",
    "keep_figures",
    "note_peer",
    "one_line",
    "own_outcome",
    "presence",
    "record",
    "record_cpus",
    "signal_of",
    "suite_properties",
    "usage_errors",
    "why_not_usable",
]

import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import msgspec
import pytest

from amx_suite.accuracy.known_defects import known_defect
from amx_suite.accuracy.record import recorded
from amx_suite.child.limits import OF_LIMITS, limit_of
from amx_suite.core.agreement import Agreement, worst
from amx_suite.core.case import Arm
from amx_suite.core.finding import Finding, Severity
from amx_suite.core.run import Check, CheckOutcome, RunSummary, Sign
from amx_suite.core.verdict import GateResult, Verdict
from amx_suite.errors import (
    AmxSuiteError,
    CeilingIgnoredError,
    LimitReachedError,
    MachineChangedError,
    NotApplicableError,
    OutputError,
)
from amx_suite.gates.waivers import Waiver
from amx_suite.host.reasons import Support
from amx_suite.plugin.selection import CONFORMANCE_MARKERS, arm_of, trial_of
from amx_suite.trial.unproven import why_beyond_ceiling

#: The property with what a test judged, as JSON, because xdist sends plain text only.
_FIGURES = "amx_figures"


# As with pytest's own xfail, the report's outcome stays "skipped", which every file format and
# plugin knows, and an attribute of the report says the rest.
class _InconclusiveError(pytest.skip.Exception):  # type: ignore[name-defined,misc]
    """Ends a test that can say neither pass nor fail."""


def record(result: GateResult, add: Callable[[str, object], None]) -> None:
    """Add the verdict, speedup and reason as properties, which pytest writes into junit.xml."""
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


def record_cpus(
    wrong: Iterable[int], tried: Iterable[int], add: Callable[[str, object], None]
) -> None:
    """Add on which CPUs a check was wrong, of those on which it was tried, if it was on any."""
    if cpus := sorted(set(wrong)):
        add(Sign.CPUS_WRONG.value, " ".join(map(str, cpus)))
        add(Sign.CPUS_TRIED.value, " ".join(map(str, sorted(set(tried)))))


def suite_properties(summary: RunSummary) -> dict[str, str]:
    """What junit.xml says of the whole run: machine, software, level, engines, verdict."""
    return {
        "amx_qualification": str(summary.qualification),
        "amx_exit_code": str(int(summary.qualification.exit_code)),
        "amx_level": str(summary.level),
        "amx_engines": ", ".join(summary.engines),
        **{f"amx_machine_{name}": value for name, value in summary.machine.items()},
        **{f"amx_version_{name}": version for name, version in summary.versions.items()},
    }


def end(verdict: Verdict, reason: str, remedy: str, *, strict: bool) -> None:
    """Return on PASS; otherwise end the test as the verdict says.

    FAIL and NO_EVIDENCE fail it, NOT_APPLICABLE skips it. INCONCLUSIVE is an outcome of its own,
    or a failure if ``strict``.
    """
    text = "; ".join(filter(None, (f"{verdict}: {reason}", remedy)))
    if verdict.is_failure or (strict and verdict is Verdict.INCONCLUSIVE):
        pytest.fail(text, pytrace=False)
    if verdict is Verdict.INCONCLUSIVE:
        raise _InconclusiveError(text)
    if verdict is not Verdict.PASS:
        pytest.skip(text)


@contextmanager
def errors_end_test(arms: Sequence[Arm], *, strict: bool) -> Iterator[None]:
    """Skip a test that needs an absent one of its arms; fail it for an arm beyond its ceiling.

    One that reached a limit, during which the machine changed, or that could not write a file, as
    on a full disk, is inconclusive: that says nothing of the machine.
    """
    try:
        yield
    except LimitReachedError as error:
        end(Verdict.INCONCLUSIVE, f"{error.label}: {error.what}", "", strict=strict)
    except OF_LIMITS as error:
        limit = limit_of(error)
        if limit is None:
            raise
        end(Verdict.INCONCLUSIVE, limit[1], "", strict=strict)
    except MachineChangedError as error:
        end(Verdict.INCONCLUSIVE, error.what, error.remedy, strict=strict)
    except OutputError as error:
        end(Verdict.INCONCLUSIVE, str(error), "", strict=strict)
    except NotApplicableError as error:
        if not arms:
            raise
        end(Verdict.NOT_APPLICABLE, str(error), "", strict=False)
    except CeilingIgnoredError as error:
        for arm in arms:
            # Of many instances each has the arm's name, and a size of its own.
            if error.label.startswith(f"{arm.name}-"):
                verdict, reason, remedy, _ = why_beyond_ceiling(arm, error.what)
                end(verdict, reason, remedy, strict=False)
        raise


@contextmanager
def keep_figures(item: pytest.Item) -> Iterator[None]:
    """Note what the test judges, as a property, which junit.xml has too."""
    with recorded() as found:
        try:
            yield
        finally:
            if found:
                figures = msgspec.json.encode(worst(found)).decode()
                item.user_properties.append((_FIGURES, figures))


@contextmanager
def usage_errors() -> Iterator[None]:
    """Turn the suite's errors into pytest's usage errors: one line and exit code 4."""
    try:
        yield
    except AmxSuiteError as error:
        raise pytest.UsageError(str(error)) from error


def classify(
    report: pytest.TestReport,
    call: pytest.CallInfo[None],
    find_waiver: Callable[[str, str], Waiver | None],
    *,
    strict: bool,
) -> None:
    """Mark the report of a test that ended with an outcome of the suite's own.

    That is an inconclusive verdict, a failure that a library's known defect explains, which stays a
    failure if ``strict``, or one for which ``find_waiver`` has a waiver, by test id and message.
    """
    error = None if call.excinfo is None else call.excinfo.value
    if isinstance(error, _InconclusiveError):
        _mark(report, CheckOutcome.INCONCLUSIVE, str(error.msg))
    elif report.failed and report.when == "call":
        failed = report.nodeid, report.longreprtext
        if not strict and (defect := known_defect(*failed)) is not None:
            _mark(report, CheckOutcome.KNOWN_DEFECT, f"KNOWN DEFECT: {defect}")
        elif (waiver := find_waiver(*failed)) is not None:
            _mark(report, CheckOutcome.WAIVED, f"WAIVED: {one_line(report)} ({waiver})")


def note_peer(item: pytest.Item, report: pytest.TestReport, checks: Mapping[str, Check]) -> None:
    """Add to a failed test of an arm how it ends for the arm of that precision without AMX.

    Trials begin with the arms without AMX, so the peer's test is over.
    """
    arm, trial = arm_of(item), trial_of(item)
    if not report.failed or arm is None or trial is None:
        return
    outcome = CheckOutcome.FAILED
    if arm.isa.allows_amx:
        alike = (a for a in trial.arms if a.precision is arm.precision and not a.isa.allows_amx)
        ids = (report.nodeid.replace(arm.name, peer.name) for peer in alike)
        found = next((checks[test_id] for test_id in ids if test_id in checks), None)
        if found is None or found.outcome not in (CheckOutcome.FAILED, CheckOutcome.PASSED):
            return
        outcome = found.outcome
    # junit.xml has the properties of the item, which the report holds a copy of.
    for properties in (item.user_properties, report.user_properties):
        properties.append((Sign.WITHOUT_AMX.value, outcome.value))


def _mark(report: pytest.TestReport, outcome: CheckOutcome, reason: str) -> None:
    path, line, _ = report.location
    report.outcome = "skipped"
    report.longrepr = (path, line or 0, f"Skipped: {reason}")
    # Plain text, as xdist sends reports from process to process.
    report.amx_outcome = outcome.value  # type: ignore[attr-defined]


def own_outcome(report: pytest.TestReport) -> CheckOutcome | None:
    """The outcome of the suite's own that the test ended with, None if it is one of pytest's."""
    own = getattr(report, "amx_outcome", None)
    return None if own is None else CheckOutcome(own)


def _outcome(report: pytest.TestReport) -> CheckOutcome:
    own = own_outcome(report)
    if own is not None:
        return own
    if report.skipped:
        return CheckOutcome.SKIPPED
    return CheckOutcome.PASSED if report.passed else CheckOutcome.FAILED


def one_line(report: pytest.TestReport) -> str:
    """Why the test did not pass, in one line; empty if it passed."""
    if report.passed:
        return ""
    if report.skipped:
        if isinstance(report.longrepr, tuple):
            return report.longrepr[2].removeprefix("Skipped: ")
        return str(report.longrepr or "")
    crash = getattr(report.longrepr, "reprcrash", None)
    text = crash.message if crash is not None else report.longreprtext
    return next((line.strip() for line in text.splitlines() if line.strip()), "failed")


def signal_of(error: BaseException) -> str:
    """The name of the signal that raised a KeyboardInterrupt; empty for any other error."""
    # pytest's own errors that end a run are of a class derived from it.
    if type(error) is not KeyboardInterrupt:
        return ""
    # Python's own handler of Ctrl-C does not name it, that of the command line does.
    return str(error) or signal.SIGINT.name


def why_not_usable(support: Support) -> str:
    """Reason code, sentence and remedy in one line; empty where AMX is usable."""
    return "" if support.usable else f"{support.reason}: {support.explanation}"


def presence(support: Support) -> tuple[Finding, ...]:
    """The doctor's findings for a report: what keeps AMX from being used is an error."""
    return tuple(
        Finding(
            Severity.ERROR if found.blocking else Severity.NOTE,
            f"{found.reason}: {found.message.rstrip('.')}",
            found.remedy.rstrip("."),
        )
        for found in support.findings
    )


def keep(report: pytest.TestReport, checks: dict[str, Check]) -> None:
    """Add how a conformance test ended to the checks, which are by test id.

    A test's call counts, and a phase that failed or skipped it.
    """
    question = next((name for name in CONFORMANCE_MARKERS if name in report.keywords), None)
    if question is None:
        return
    earlier = checks.get(report.nodeid)
    failed = earlier is not None and earlier.outcome is CheckOutcome.FAILED
    if (report.when == "call" or not report.passed) and not failed:
        noted = {name: str(value) for name, value in report.user_properties}
        signs = {name: value for name, value in noted.items() if name in set(Sign)}
        figures = msgspec.json.decode(noted.get(_FIGURES, "[]"), type=tuple[Agreement, ...])
        checks[report.nodeid] = Check(
            report.nodeid, _outcome(report), one_line(report), question, signs, figures
        )
