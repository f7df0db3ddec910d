"""One check of an operator: many examples with AMX, and a wrong one once more without."""

from __future__ import annotations

__all__ = ["Operator", "OperatorCheck", "RunOperator"]

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from amx_suite.accuracy.record import recorded
from amx_suite.core.evidence import KernelUse
from amx_suite.core.isa import Isa
from amx_suite.core.precision import Precision
from amx_suite.core.run import Sign
from amx_suite.errors import AmxSuiteError, LostChildError, NotApplicableError
from amx_suite.plugin.outcome import end
from amx_suite.trial.unproven import judge_operator

if TYPE_CHECKING:
    from amx_suite.worker.process import IsaWorker


class Operator(msgspec.Struct, frozen=True):
    """An operator of ``workloads.operators`` with its arrays and settings."""

    name: str
    arrays: dict[str, Any]
    settings: dict[str, int] = {}


#: Runs an operator in a precision and returns its output.
RunOperator = Callable[[Operator, Precision], Any]


class OperatorCheck:
    """The examples of one test, all of one operator.

    ``workers`` gives a worker under a ceiling, ``note`` keeps a property of the test. A precision
    without an AMX arm runs under the ceiling with AMX all the same: that a library may use AMX must
    change nothing.
    """

    def __init__(
        self,
        workers: Callable[[Isa], IsaWorker],
        operator: str,
        precision: Precision,
        note: Callable[[str, object], None],
    ) -> None:
        self._workers = workers
        self._precision = precision
        self._what = f"{operator} in {precision.upper()}"
        self._note = note
        self._kernels: list[KernelUse] = []

    def run_with_amx(self, operator: Operator, precision: Precision) -> Any:
        """Run where AMX is allowed; the kernels of the test's precision are kept."""
        ceiling = self._precision.spec.with_amx or Isa.AMX
        output, kernels = self._workers(ceiling).prove_operator(
            operator.name, precision, operator.arrays, **operator.settings
        )
        if precision is self._precision:
            self._kernels += kernels
        return output

    def run_without_amx(self, operator: Operator, precision: Precision) -> Any:
        """Run where the kernel refuses AMX."""
        ceiling = self._precision.spec.without_amx
        assert ceiling is not None, f"{self._precision} has no arm without AMX"
        return self._workers(ceiling).operate(
            operator.name, precision, operator.arrays, **operator.settings
        )

    def try_example(self, judge: Callable[[RunOperator], None]) -> None:
        """Judge an example with AMX; if it is wrong, note whether it is so without AMX too.

        ``judge`` gets what runs an operator, and raises AssertionError for a wrong result. Skips
        the test for what the engine does not have.
        """
        try:
            judge(self.run_with_amx)
        except NotApplicableError as error:
            pytest.skip(f"NOT_APPLICABLE: {self._what}: {error}")
        except (AssertionError, LostChildError):
            self._try_without_amx(judge)
            raise

    def _try_without_amx(self, judge: Callable[[RunOperator], None]) -> None:
        outcome = "passed"
        try:
            # A record of their own: these figures are not the check's.
            with recorded():
                judge(self.run_without_amx)
        except (AssertionError, LostChildError):
            outcome = "failed"
        except AmxSuiteError:
            return  # what could not be tried says nothing
        self._note(Sign.WITHOUT_AMX.value, outcome)

    def end(self) -> None:
        """After all examples, which were right: end the test unless one of them was on AMX."""
        if self._precision.spec.with_amx is not None:
            decision = judge_operator(self._what, self._precision, self._kernels)
            end(decision.verdict, decision.reason, decision.remedy, strict=True)
