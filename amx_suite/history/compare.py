"""What changed between one or more base runs and a new one: a verdict on each gate, and on all."""

from __future__ import annotations

__all__ = ["Comparison", "GateChange", "Run", "compare"]

import math
import statistics
from collections.abc import Collection, Sequence

import msgspec

from amx_suite.core.exit_codes import ExitCode, exit_code
from amx_suite.core.verdict import Speedup, Verdict
from amx_suite.history.change import (
    CONFIDENCE,
    Change,
    Estimate,
    Spread,
    change_between,
    spread_between,
    verdict_on,
)
from amx_suite.history.match import GateRows, base_name, match
from amx_suite.history.store import Night, RatioRow
from amx_suite.trial.decide import LEAST_ROUNDS

#: Raised whenever a written comparison changes its meaning or layout.
_SCHEMA_VERSION = 2


class Run(msgspec.Struct, frozen=True):
    """A run that was compared: its file, and when it started."""

    path: str
    started: str


class GateChange(msgspec.Struct, frozen=True):
    """One gate: its speedups, how they changed, and the verdict with its reason.

    ``base`` is the geometric mean of the base runs' speedups and ``base_rounds`` their quiet
    rounds, 0 for a run without the gate. ``ratio`` is new over base with its interval ``low`` to
    ``high``. They are None where there was nothing to reckon with.
    """

    gate: str
    change: Change
    reason: str
    base: float
    base_rounds: tuple[int, ...]
    new: float | None
    new_rounds: int
    ratio: float | None = None
    low: float | None = None
    high: float | None = None


class Comparison(msgspec.Struct, frozen=True):
    """Base runs compared with a new one.

    ``margin`` is the share that a change must exceed to be worse or better; ``spread`` is that
    between launches. ``notes`` are sentences on differences that were allowed and on gates that
    only the new run has.
    """

    bases: tuple[Run, ...]
    new: Run
    margin: float
    confidence: float
    spread: Spread
    gates: tuple[GateChange, ...]
    notes: tuple[str, ...]
    schema_version: int = _SCHEMA_VERSION

    def count(self, change: Change) -> int:
        """How many gates ended so."""
        return sum(gate.change is change for gate in self.gates)

    @property
    def exit_code(self) -> ExitCode:
        """OK if nothing got worse, FAILED if something did, UNDECIDED if that cannot be said."""
        undecided = self.count(Change.INCONCLUSIVE) + self.count(Change.VANISHED)
        return exit_code(
            failed=self.count(Change.WORSE) > 0, undecided=undecided > 0 or not self.gates
        )


def compare(
    bases: Sequence[Night], new: Night, *, margin: float, across: Collection[str] = ()
) -> Comparison:
    """Compare one or more base runs with a new one, gate by gate, by the rule in ``change``.

    Raises ResultsFileError where the runs differ in what ``across`` does not allow.
    """
    gates, notes = match(bases, new, across)
    spread = spread_between(
        _speedups(gate.bases) for gate in gates if _why_no_base(gate.bases) is None
    )
    return Comparison(
        bases=tuple(Run(base.path, base.summary.started) for base in bases),
        new=Run(new.path, new.summary.started),
        margin=margin,
        confidence=CONFIDENCE,
        spread=spread,
        gates=tuple(_gate_change(gate, new, spread, margin) for gate in gates),
        notes=notes,
    )


def _gate_change(gate: GateRows, new: Night, spread: Spread, margin: float) -> GateChange:
    if gate.new is None:
        return _shown(gate, Change.VANISHED, _why_vanished(gate, new))
    reason = _why_no_base(gate.bases) or _why_unusable("the new run", gate.new)
    if reason is not None:
        return _shown(gate, Change.INCONCLUSIVE, reason)
    found = change_between(_speedups(gate.bases), gate.new.speedup, spread)
    change = verdict_on(found, margin)
    reason = ""
    if change is Change.INCONCLUSIVE:
        reason = (
            "neither surely changed nor surely within twice the margin; more base runs may tell"
        )
    return _shown(gate, change, reason, found)


def _why_vanished(gate: GateRows, new: Night) -> str:
    result = gate.found[0].result
    over = f"{result.candidate_id} over {result.baseline_id}"
    return new.unmeasured.get(over, "the new run does not have it")


def _why_no_base(bases: Sequence[RatioRow | None]) -> str | None:
    """Why the base runs tell nothing of a gate, or None."""
    for index, row in enumerate(bases):
        why = _why_unusable(base_name(index, bases), row)
        if why is not None:
            return why
    return None


def _why_unusable(name: str, row: RatioRow | None) -> str | None:
    """Why a run tells nothing of a gate, or None."""
    if row is None:
        return f"{name} did not measure it"
    if row.result.verdict is Verdict.NO_EVIDENCE:
        return f"{name} does not prove what ran: {row.result.reason}"
    if row.speedup.pairs < LEAST_ROUNDS:
        return f"{name} has {row.speedup.pairs} quiet rounds, {LEAST_ROUNDS} are needed"
    return None


def _speedups(rows: Sequence[RatioRow | None]) -> tuple[Speedup, ...]:
    return tuple(row.speedup for row in rows if row is not None)


def _shown(
    gate: GateRows, change: Change, reason: str, found: Estimate | None = None
) -> GateChange:
    return GateChange(
        gate=gate.found[0].name,
        change=change,
        reason=reason,
        base=statistics.geometric_mean(speedup.ratio for speedup in _speedups(gate.bases)),
        base_rounds=tuple(0 if row is None else row.speedup.pairs for row in gate.bases),
        new=None if gate.new is None else gate.new.speedup.ratio,
        new_rounds=0 if gate.new is None else gate.new.speedup.pairs,
        ratio=None if found is None else math.exp(found.log),
        low=None if found is None else math.exp(found.low),
        high=None if found is None else math.exp(found.high),
    )
