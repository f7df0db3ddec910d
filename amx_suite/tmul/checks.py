"""Every state and fault check by name, run on given CPUs by a child that holds no permission."""

from __future__ import annotations

__all__ = ["CHECKS", "Checks", "run_checks"]

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from amx_suite.child.channel import ArrayMap, Reply, Request
from amx_suite.tmul.check import SECONDS_FOR_ONE, Check, CheckResult, run_check
from amx_suite.tmul.fault_checks import FAULT_CHECKS
from amx_suite.tmul.state_checks import STATE_CHECKS

if TYPE_CHECKING:
    from amx_suite.child.handle import Child

#: Every check by name.
CHECKS: dict[str, Check] = {**STATE_CHECKS, **FAULT_CHECKS}


class RunCheck(Request, frozen=True, tag=True):
    """Run the check of that name on the CPU."""

    # A check and its control, and the forks' own start and end.
    seconds_to_answer: ClassVar[float] = 2 * SECONDS_FOR_ONE + 30.0

    check: str
    cpu: int


class Checked(Reply, frozen=True, tag=True):
    """How the check ended."""

    result: CheckResult


class Checks:
    """Handles ``RunCheck``."""

    requests: ClassVar[Any] = RunCheck

    def handle(self, request: RunCheck, arrays: ArrayMap) -> tuple[Checked, ArrayMap]:
        """Run it in a fork."""
        return Checked(run_check(request.check, request.cpu, CHECKS[request.check])), {}


def _start_child() -> Child:
    # The child imports this module too and needs no ``Child``.
    from amx_suite.child.handle import Child

    return Child("amx_suite.tmul.checks:Checks", label="tile checks")


def run_checks(
    cpus: Sequence[int],
    names: Sequence[str] = tuple(CHECKS),
    *,
    start: Callable[[], Child] = _start_child,
) -> Iterator[CheckResult]:
    """Each result as it comes: every named check on every CPU.

    Raises LostChildError if the child itself, not a check, dies or hangs.
    """
    with start() as child:
        for name in names:
            for cpu in cpus:
                yield child.ask(RunCheck(name, cpu), Checked).result
