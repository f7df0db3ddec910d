"""Which layer a failed check blames: the tile instruction, a kernel, the library, or this machine.

The signs are what the failed test noted (``Sign``), and how the run's other checks ended. Where
they are not enough the sentence says what to run; nothing is guessed.
"""

from __future__ import annotations

__all__ = ["TILE_RATE_TEST", "Layer", "blame"]

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import NamedTuple

from amx_suite.accuracy.known_defects import known_defect
from amx_suite.core.run import Check, CheckOutcome, RunSummary, Sign
from amx_suite.core.verdict import Verdict

#: The test that reads each CPU's tile unit alone, without a library.
TILE_RATE_TEST = "test_every_tile_unit"


class Layer(StrEnum):
    """What may be to blame for a wrong or slow result."""

    TILE = "tile instruction"
    KERNEL = "kernel"
    LIBRARY = "library"
    MACHINE = "this machine alone"
    LIBRARY_OR_MACHINE = "library, or this machine alone"
    UNKNOWN = "cannot be told"


class _Signs(NamedTuple):
    """What is known of one failed check; ``passed``, ``failed``, or empty where it did not run."""

    check: Check
    usable: bool
    instructions: str
    tile_rate: str

    @property
    def question(self) -> str:
        return self.check.question

    @property
    def without_amx(self) -> str:
        return self.check.signs.get(Sign.WITHOUT_AMX, "")

    @property
    def wrong(self) -> list[str]:
        return self.check.signs.get(Sign.CPUS_WRONG, "").split()

    @property
    def tried(self) -> list[str]:
        return self.check.signs.get(Sign.CPUS_TRIED, "").split()

    def is_verdict(self, verdict: Verdict) -> bool:
        return f"{verdict}: " in self.check.reason


class _Rule(NamedTuple):
    """The layer to blame, and why, where the signs are such."""

    holds: Callable[[_Signs], bool]
    layer: Layer
    why: str


_LEVEL_1 = "run `amx-suite qualify --level 1`, which tries the tile instructions without a library"
_ALONE = "run it alone, with pytest and its id, to see its whole message"

#: The first that holds counts; ``{wrong}`` and ``{right}`` are CPUs.
_RULES = (
    _Rule(
        lambda s: (
            not s.usable and (s.question == "detection" or "AMX is required" in s.check.reason)
        ),
        Layer.MACHINE,
        "AMX is not usable on it; `amx-suite doctor` says why and what to do",
    ),
    _Rule(
        lambda s: known_defect(s.check.test_id, s.check.reason) is not None,
        Layer.LIBRARY,
        "this defect of it is known, and every healthy machine shows it",
    ),
    # Checks that use no library.
    _Rule(
        lambda s: bool(s.wrong) and len(s.wrong) < len(s.tried),
        Layer.MACHINE,
        "the same check is wrong on CPU {wrong} and right on CPU {right}",
    ),
    _Rule(
        lambda s: len(s.wrong) > 1,
        Layer.TILE,
        "no library runs in this check, and it is wrong on every CPU; the same check on another "
        "machine of this model tells the CPU from this machine's firmware, hypervisor and kernel",
    ),
    _Rule(
        lambda s: bool(s.wrong),
        Layer.UNKNOWN,
        "no library runs in this check, but it was tried on CPU {wrong} alone: run `amx-suite "
        "qualify --level 2` on several CPUs, or `amx-suite replay` where a mismatch was stored",
    ),
    _Rule(
        lambda s: s.question == "detection",
        Layer.MACHINE,
        "no library runs in this check: its CPU, firmware, hypervisor or kernel",
    ),
    _Rule(
        lambda s: s.question == "performance" and TILE_RATE_TEST in s.check.test_id,
        Layer.MACHINE,
        "no library runs in this check: its clock, power limits or host",
    ),
    _Rule(
        lambda s: s.question == "instruction",
        Layer.UNKNOWN,
        f"no library runs in this check, but it does not say on which CPUs it is wrong: {_ALONE}",
    ),
    # Whatever is built on instructions that are wrong.
    _Rule(
        lambda s: s.instructions == "failed" and s.without_amx != "failed",
        Layer.TILE,
        "checks of the tile instructions alone failed too, and AMX kernels are built on them: "
        "first see what those blame",
    ),
    # AMX was not used, or not proven.
    _Rule(
        lambda s: s.is_verdict(Verdict.NO_EVIDENCE) and s.instructions == "passed",
        Layer.LIBRARY,
        "the tile instructions are right here, so it is how the library or its environment uses "
        "them",
    ),
    _Rule(
        lambda s: s.is_verdict(Verdict.NO_EVIDENCE),
        Layer.UNKNOWN,
        f"the library, or the tile instructions below it: {_LEVEL_1}",
    ),
    # A gate was missed.
    _Rule(
        lambda s: s.is_verdict(Verdict.FAIL) and s.tile_rate == "passed",
        Layer.LIBRARY_OR_MACHINE,
        f"the tile units are healthy ({TILE_RATE_TEST} passed), so it is the library or this "
        "machine's power limits, memory or host; the same versions on another machine of this "
        "model tell which",
    ),
    _Rule(
        lambda s: s.is_verdict(Verdict.FAIL) and s.tile_rate == "failed",
        Layer.MACHINE,
        f"a tile unit alone is too slow ({TILE_RATE_TEST} failed): its clock, power limits or host",
    ),
    _Rule(
        lambda s: s.is_verdict(Verdict.FAIL),
        Layer.UNKNOWN,
        f"the library or this machine: run `amx-suite qualify --level 2`, whose {TILE_RATE_TEST} "
        "reads the tile units without a library",
    ),
    # A wrong number.
    _Rule(
        lambda s: s.without_amx == "failed",
        Layer.LIBRARY,
        "the same check fails where the kernel refuses AMX, so it is not AMX",
    ),
    _Rule(
        lambda s: s.without_amx == "passed" and s.instructions == "passed",
        Layer.KERNEL,
        "the library's AMX kernel: the same check passes without AMX, and the tile instructions "
        "are right here",
    ),
    _Rule(
        lambda s: s.without_amx == "passed",
        Layer.UNKNOWN,
        f"the library's AMX kernel or the tile instruction, as it passes without AMX: {_LEVEL_1}",
    ),
    _Rule(
        lambda s: s.question == "correctness",
        Layer.UNKNOWN,
        "it was not tried without AMX: run `amx-suite qualify --level 2`, whose operator tests try "
        "both",
    ),
    _Rule(
        lambda s: True,
        Layer.UNKNOWN,
        f"no sign says which layer: {_ALONE}",
    ),
)


def blame(check: Check, summary: RunSummary) -> str:
    """One sentence for a failed check of a run: the layer, and the signs or what to run."""
    signs = _Signs(
        check,
        summary.amx_usable,
        _joint(c for c in summary.checks if c.question == "instruction"),
        _joint(c for c in summary.checks if TILE_RATE_TEST in c.test_id),
    )
    rule = next(rule for rule in _RULES if rule.holds(signs))
    right = [cpu for cpu in signs.tried if cpu not in signs.wrong]
    why = rule.why.format(wrong=", ".join(signs.wrong), right=", ".join(right))
    return f"{rule.layer}: {why}"


def _joint(checks: Iterable[Check]) -> str:
    """How these checks ended together: ``failed``, ``passed``, or empty if none did either."""
    outcomes = {check.outcome for check in checks}
    decisive = (CheckOutcome.FAILED, CheckOutcome.WAIVED, CheckOutcome.PASSED)
    found = next((outcome for outcome in decisive if outcome in outcomes), None)
    if found is None:
        return ""
    return "passed" if found is CheckOutcome.PASSED else "failed"
