"""A whole run: every check's outcome, every trial, whether the machine qualifies, the exit code."""

from __future__ import annotations

__all__ = [
    "LEVELS",
    "SCHEMA_VERSION",
    "Check",
    "CheckOutcome",
    "ExitCode",
    "Qualification",
    "RunSummary",
    "Sign",
    "exit_code",
]

from enum import IntEnum, StrEnum

import msgspec

from amx_suite.core.agreement import Agreement
from amx_suite.core.finding import Finding, Severity
from amx_suite.core.health import Health, Identity
from amx_suite.core.trial import TrialResult
from amx_suite.core.units import Duration
from amx_suite.core.verdict import Verdict
from amx_suite.core.whole_machine import WholeMachineResult

#: Raised whenever what the suite writes into results.json changes its meaning or layout.
SCHEMA_VERSION = 6

#: What each level adds to those below it.
LEVELS = {
    1: "presence and exactness",
    2: "use, operator accuracy and GEMM speed",
    3: "ResNet50 and BERT",
    4: "the published shapes and a soak",
}

#: Below this level a run checks presence and exactness, and has no gates.
_FIRST_LEVEL_WITH_GATES = 2


class ExitCode(IntEnum):
    """The exit codes of every command, in the order in which they win.

    Not having measured is never ``OK``.
    """

    #: A bad option, file or folder: nothing ran.
    USAGE = 2
    #: A check failed, the hardware reports errors, a gate got worse, a stored fault recurred, or
    #: the suite itself crashed.
    FAILED = 1
    #: AMX is not usable here.
    NOT_USABLE = 3
    #: Too noisy to tell, interrupted, or nothing was measured.
    UNDECIDED = 4
    OK = 0


def exit_code(
    *, usage: bool = False, failed: bool = False, not_usable: bool = False, undecided: bool = False
) -> ExitCode:
    """The first that holds, in the order of ``ExitCode``."""
    holds = (usage, failed, not_usable, undecided, True)
    return next(code for code, true in zip(ExitCode, holds, strict=True) if true)


class CheckOutcome(StrEnum):
    """How one test ended.

    A known defect is a library's, and no finding about the machine. A waived failure is one that
    somebody has accepted for a while.
    """

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    INCONCLUSIVE = "inconclusive"
    KNOWN_DEFECT = "known defect"
    WAIVED = "waived"


class Sign(StrEnum):
    """What a failing test notes, as a property, for the question which layer is to blame.

    A property has the sign's ``value``: xdist sends plain text only.
    """

    #: ``passed`` or ``failed``: the same check where the kernel refuses AMX.
    WITHOUT_AMX = "amx_without_amx"
    #: Numbers of the CPUs on which the check was wrong, and of all on which it was tried.
    CPUS_WRONG = "amx_cpus_wrong"
    CPUS_TRIED = "amx_cpus_tried"


class Check(msgspec.Struct, frozen=True):
    """One conformance test: its id, its outcome, and the reason in one line, empty if it passed.

    ``question`` is its marker, such as ``instruction``; ``signs`` are by ``Sign``. ``figures`` are
    what it judged, passed or failed; of many with the same limit the worst.
    """

    test_id: str
    outcome: CheckOutcome
    reason: str = ""
    question: str = ""
    signs: dict[str, str] = {}
    figures: tuple[Agreement, ...] = ()


class Qualification(StrEnum):
    """Whether this machine may be accepted."""

    QUALIFIED = "QUALIFIED"
    NOT_QUALIFIED = "NOT QUALIFIED"
    NOT_USABLE = "AMX NOT USABLE"
    INCONCLUSIVE = "INCONCLUSIVE"

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of ``amx-suite qualify``."""
        return exit_code(
            failed=self is Qualification.NOT_QUALIFIED,
            not_usable=self is Qualification.NOT_USABLE,
            undecided=self is Qualification.INCONCLUSIVE,
        )


class RunSummary(msgspec.Struct, frozen=True):
    """Everything a report needs.

    ``amx_reason`` is the doctor's sentence with its remedy where AMX is not usable, else empty.
    ``checks`` are conformance tests only, never the suite's selftests. ``interrupted`` says that
    the run ended early, and ``ended_by`` names the signal if one ended it. ``health_before`` and
    ``health_after`` are the machine's state before the first and after the last test, None where it
    was not read, and ``findings`` are what it says about the run. ``identity`` names the machine,
    ``machine`` are the host's traits (``host.host_traits``). ``whole_machine`` is empty below level
    4. ``versions`` map package to version, and ``presence`` are the doctor's findings.
    """

    level: int
    engines: tuple[str, ...]
    host: tuple[str, ...]
    amx_usable: bool
    amx_reason: str
    checks: tuple[Check, ...]
    trials: tuple[TrialResult, ...]
    started: str
    elapsed_seconds: Duration
    interrupted: bool = False
    health_before: Health | None = None
    health_after: Health | None = None
    findings: tuple[Finding, ...] = ()
    identity: Identity = Identity()
    whole_machine: tuple[WholeMachineResult, ...] = ()
    machine: dict[str, str] = {}
    versions: dict[str, str] = {}
    presence: tuple[Finding, ...] = ()
    ended_by: str = ""
    schema_version: int = SCHEMA_VERSION

    def checks_that(self, outcome: CheckOutcome) -> tuple[Check, ...]:
        """The checks with this outcome."""
        return tuple(check for check in self.checks if check.outcome is outcome)

    def findings_of(self, *severities: Severity) -> tuple[Finding, ...]:
        """The findings of these severities."""
        return tuple(finding for finding in self.findings if finding.severity in severities)

    @property
    def early_end(self) -> str:
        """That the run ended early, and by which signal; empty if it did not."""
        if not self.interrupted:
            return ""
        return f"{self.ended_by} ended the run early" if self.ended_by else "the run ended early"

    @property
    def unmeasured(self) -> bool:
        """Whether this level measures speed and no gate was decided, for or against."""
        return self.level >= _FIRST_LEVEL_WITH_GATES and not any(
            result.verdict in (Verdict.PASS, Verdict.FAIL, Verdict.NO_EVIDENCE)
            for trial in self.trials
            for result in trial.gates
        )

    @property
    def why_inconclusive(self) -> tuple[str, ...]:
        """What keeps a run without a failure from being QUALIFIED, in words."""
        undecided = len(self.checks_that(CheckOutcome.INCONCLUSIVE))
        no_pass = "no check passed" if self.checks else "no check ran"
        reasons = {
            self.early_end: self.interrupted,
            f"{undecided} of {len(self.checks)} checks could not be decided": undecided,
            no_pass: not self.checks_that(CheckOutcome.PASSED),
            f"no gate was decided (trials that ran: {len(self.trials)})": self.unmeasured,
        }
        return tuple(reason for reason, holds in reasons.items() if holds)

    @property
    def qualification(self) -> Qualification:
        """Whether the machine qualifies.

        Not having measured is never QUALIFIED, nor is a machine whose hardware reports errors.
        """
        if self.checks_that(CheckOutcome.FAILED) or self.findings_of(Severity.ERROR):
            return Qualification.NOT_QUALIFIED
        if not self.amx_usable:
            return Qualification.NOT_USABLE
        return Qualification.INCONCLUSIVE if self.why_inconclusive else Qualification.QUALIFIED
