"""A whole run: every check's outcome, every trial, and the one line that follows from them."""

from __future__ import annotations

__all__ = ["SCHEMA_VERSION", "Check", "CheckOutcome", "Qualification", "RunSummary"]

from enum import StrEnum

import msgspec

from amx_suite.core.exit_codes import ExitCode, exit_code
from amx_suite.core.trial import TrialResult
from amx_suite.core.verdict import Verdict

#: Raised whenever what the suite writes into results.json changes its meaning or layout.
SCHEMA_VERSION = 5

#: From this level on a run has gates; below it, presence and exactness are all that is asked.
_FIRST_LEVEL_WITH_GATES = 2


class CheckOutcome(StrEnum):
    """How one test ended; a known defect is a library's, and says nothing against the machine."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"
    INCONCLUSIVE = "inconclusive"
    KNOWN_DEFECT = "known defect"


class Check(msgspec.Struct, frozen=True):
    """One conformance test: its id, how it ended, and why (one line, empty if it passed)."""

    test_id: str
    outcome: CheckOutcome
    reason: str = ""


class Qualification(StrEnum):
    """The answer to "may this machine be accepted?"."""

    QUALIFIED = "QUALIFIED"
    NOT_QUALIFIED = "NOT QUALIFIED"
    NOT_USABLE = "AMX NOT USABLE"
    INCONCLUSIVE = "INCONCLUSIVE"

    @property
    def exit_code(self) -> ExitCode:
        """What the command that asks ends with."""
        return exit_code(
            failed=self is Qualification.NOT_QUALIFIED,
            not_usable=self is Qualification.NOT_USABLE,
            undecided=self is Qualification.INCONCLUSIVE,
        )


class RunSummary(msgspec.Struct, frozen=True):
    """Everything a report needs.

    ``amx_reason`` is the doctor's sentence with its remedy where AMX is not usable, else empty.
    ``checks`` are conformance tests only, never the suite's selftests. ``interrupted`` says that
    the run ended early, as by Ctrl-C.
    """

    level: int
    engines: tuple[str, ...]
    host: tuple[str, ...]
    amx_usable: bool
    amx_reason: str
    checks: tuple[Check, ...]
    trials: tuple[TrialResult, ...]
    started: str
    elapsed_seconds: float
    interrupted: bool = False
    schema_version: int = SCHEMA_VERSION

    def checks_that(self, outcome: CheckOutcome) -> tuple[Check, ...]:
        """The checks that ended so."""
        return tuple(check for check in self.checks if check.outcome is outcome)

    @property
    def gates_decided(self) -> int:
        """How many gates were decided, for or against."""
        return sum(
            result.verdict in (Verdict.PASS, Verdict.FAIL, Verdict.NO_EVIDENCE)
            for trial in self.trials
            for result in trial.gates
        )

    @property
    def unmeasured(self) -> bool:
        """Whether this level asks for speed and no gate was decided."""
        return self.level >= _FIRST_LEVEL_WITH_GATES and self.gates_decided == 0

    @property
    def qualification(self) -> Qualification:
        """The answer. Not having measured is never QUALIFIED."""
        if self.checks_that(CheckOutcome.FAILED):
            return Qualification.NOT_QUALIFIED
        if not self.amx_usable:
            return Qualification.NOT_USABLE
        nothing_ran = not self.checks_that(CheckOutcome.PASSED)
        undecided = bool(self.checks_that(CheckOutcome.INCONCLUSIVE))
        if self.interrupted or undecided or self.unmeasured or nothing_ran:
            return Qualification.INCONCLUSIVE
        return Qualification.QUALIFIED
