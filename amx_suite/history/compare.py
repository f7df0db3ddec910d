"""What changed between two nights: a verdict on each gate, and one for all of them."""

from __future__ import annotations

__all__ = ["CONFIDENCE", "Change", "Comparison", "GateChange", "compare"]

import math
from collections.abc import Collection
from enum import StrEnum

import msgspec

from amx_suite.core.exit_codes import ExitCode, exit_code
from amx_suite.core.verdict import Verdict
from amx_suite.history.match import Pair, match
from amx_suite.history.shift import (
    FEWEST_ROUNDS,
    Shift,
    holm,
    level,
    shift_between,
    why_drifting,
    why_mixed,
)
from amx_suite.history.store import Night

#: Of the interval of each change; and of all gates together, that none is called changed that did
#: not: at most 5 false alarms in 1,000 nights.
CONFIDENCE = 0.995

#: Raised whenever a written comparison changes its meaning or layout.
_SCHEMA_VERSION = 1


class Change(StrEnum):
    """What can be said of a gate's speedup since the base."""

    WORSE = "worse"
    BETTER = "better"
    UNCHANGED = "unchanged"
    INCONCLUSIVE = "inconclusive"
    VANISHED = "vanished"


class GateChange(msgspec.Struct, frozen=True):
    """One gate: its speedups, how one became the other, and the verdict with its reason.

    ``base`` and ``new`` are speedups (baseline over candidate seconds; 20 % trimmed means of the
    logs). ``ratio`` is new over base with its interval ``low`` to ``high``; ``p`` is adjusted for
    the number of gates. They are None where there was nothing to reckon with.
    """

    gate: str
    change: Change
    reason: str
    base: float
    base_rounds: int
    new: float | None = None
    new_rounds: int = 0
    ratio: float | None = None
    low: float | None = None
    high: float | None = None
    p: float | None = None


class Comparison(msgspec.Struct, frozen=True):
    """Two nights compared. ``margin`` is the share by which a speedup may differ and be the same.

    ``notes`` are sentences on differences that were allowed and on gates that only the new has.
    """

    base: str
    new: str
    base_started: str
    new_started: str
    margin: float
    confidence: float
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


def compare(base: Night, new: Night, *, margin: float, across: Collection[str] = ()) -> Comparison:
    """Compare two nights, gate by gate.

    Unchanged: the whole interval of new over base lies between 1 / (1 + margin) and 1 + margin.
    Worse or better: it does not, and the adjusted p is 1 - CONFIDENCE or less. Raises
    ResultsFileError where the nights differ in what ``across`` does not allow.
    """
    pairs, notes = match(base, new, across)
    log_margin = math.log1p(margin)
    doubts = [_doubt(pair, new, log_margin) for pair in pairs]
    shifts = [
        shift_between(pair.base.logs, pair.new.logs, CONFIDENCE)
        for pair, doubt in zip(pairs, doubts, strict=True)
        if pair.new is not None and doubt is None
    ]
    adjusted = (
        shift._replace(p=p)
        for shift, p in zip(shifts, holm([shift.p for shift in shifts]), strict=True)
    )
    return Comparison(
        base=base.path,
        new=new.path,
        base_started=base.summary.started,
        new_started=new.summary.started,
        margin=margin,
        confidence=CONFIDENCE,
        gates=tuple(
            _undecided(pair, doubt) if doubt else _decided(pair, next(adjusted), log_margin)
            for pair, doubt in zip(pairs, doubts, strict=True)
        ),
        notes=notes,
    )


def _doubt(pair: Pair, new: Night, log_margin: float) -> str | None:
    """Why nothing can be said of the gate, or None."""
    if pair.new is None:
        result = pair.base.result
        over = f"{result.candidate_id} over {result.baseline_id}"
        return new.unmeasured.get(over, "the new run does not have it")
    for name, row in (("base", pair.base), ("new", pair.new)):
        if row.result.verdict is Verdict.NO_EVIDENCE:
            return f"the {name} run does not prove what ran: {row.result.reason}"
        if len(row.logs) < FEWEST_ROUNDS:
            return f"the {name} run has {len(row.logs)} rounds, {FEWEST_ROUNDS} are needed"
        drifting = why_drifting(row.logs, log_margin)
        if drifting is not None:
            return f"the {name} run {drifting}"
    return None


def _undecided(pair: Pair, reason: str) -> GateChange:
    change = Change.VANISHED if pair.new is None else Change.INCONCLUSIVE
    return _gate_change(pair, change, reason)


def _decided(pair: Pair, shift: Shift, log_margin: float) -> GateChange:
    reason = ""
    if -log_margin < shift.low and shift.high < log_margin:
        change = Change.UNCHANGED
    elif shift.p > 1.0 - CONFIDENCE:
        change = Change.INCONCLUSIVE
        reason = "neither within the margin nor surely changed; more or quieter rounds would tell"
    elif mixed := _mixed(pair, log_margin):
        change, reason = Change.INCONCLUSIVE, mixed
    else:
        change = Change.WORSE if shift.estimate < 0 else Change.BETTER
    return msgspec.structs.replace(
        _gate_change(pair, change, reason),
        ratio=math.exp(shift.estimate),
        low=math.exp(shift.low),
        high=math.exp(shift.high),
        p=shift.p,
    )


def _mixed(pair: Pair, log_margin: float) -> str | None:
    """Why what looks like a change may be more or less of the same disturbance, or None."""
    assert pair.new is not None  # there is a shift
    base, new = pair.base.logs, pair.new.logs
    for name, logs, other in (("base", base, level(new)), ("new", new, level(base))):
        mixed = why_mixed(logs, other, log_margin)
        if mixed is not None:
            return f"the {name} run {mixed}"
    return None


def _gate_change(pair: Pair, change: Change, reason: str) -> GateChange:
    base, new = pair
    return GateChange(
        gate=base.name,
        change=change,
        reason=reason,
        base=math.exp(level(base.logs)),
        base_rounds=len(base.logs),
        new=None if new is None else math.exp(level(new.logs)),
        new_rounds=0 if new is None else len(new.logs),
    )
