"""A verdict on each gate, and on a whole new run, against one or more base runs."""

from __future__ import annotations

__all__ = ["Comparison", "GateChange", "Run", "compare"]

import itertools
import math
import statistics
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import msgspec

from amx_suite.core.conditions import Difference, admit, differences
from amx_suite.core.run import ExitCode, exit_code
from amx_suite.core.verdict import Speedup, Verdict
from amx_suite.errors import ResultsFileError
from amx_suite.history.change import (
    CONFIDENCE,
    Change,
    Spread,
    change_between,
    spread_between,
    verdict_on,
)
from amx_suite.history.store import RatioRow, StoredRun
from amx_suite.trial.decide import LEAST_ROUNDS

_OPTION = "--across"
_REMEDY = "name runs that have this in common"

#: Raised whenever a written comparison changes its meaning or layout.
_SCHEMA_VERSION = 2


class _GateRows(NamedTuple):
    """One gate's row in each base run and in the new one; None in a run that has none."""

    bases: tuple[RatioRow | None, ...]
    new: RatioRow | None

    @property
    def found(self) -> tuple[RatioRow, ...]:
        """The rows without the gaps; the first is a base run's and names the gate."""
        return tuple(row for row in (*self.bases, self.new) if row is not None)


class Run(msgspec.Struct, frozen=True):
    """A run that was compared: its file, and when it started."""

    path: str
    started: str


class GateChange(msgspec.Struct, frozen=True):
    """One gate: its speedups, how they changed, and the verdict with its reason.

    ``base`` is the geometric mean of the base runs' speedups and ``base_rounds`` their quiet
    rounds, 0 for a run without the gate. ``ratio`` is new over base with its interval ``low`` to
    ``high``; these are None where the verdict does not rest on an interval.
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
        """The number of gates with this verdict."""
        return sum(gate.change is change for gate in self.gates)

    @property
    def exit_code(self) -> ExitCode:
        """FAILED if a gate got worse, UNDECIDED if one may have or there is none, else OK."""
        undecided = self.count(Change.INCONCLUSIVE) + self.count(Change.VANISHED)
        return exit_code(
            failed=self.count(Change.WORSE) > 0, undecided=undecided > 0 or not self.gates
        )


def compare(
    bases: Sequence[StoredRun], new: StoredRun, *, margin: float, across: Collection[str] = ()
) -> Comparison:
    """Compare one or more base runs with a new one, gate by gate, by the rule in ``change``.

    Raises ResultsFileError where the runs differ in what ``across`` does not allow.
    """
    gates, notes = _match(bases, new, across)
    spread = spread_between(_speedups(gate.bases) for gate in gates if not _why_no_base(gate.bases))
    return Comparison(
        bases=tuple(Run(base.path, base.summary.started) for base in bases),
        new=Run(new.path, new.summary.started),
        margin=margin,
        confidence=CONFIDENCE,
        spread=spread,
        gates=tuple(_gate_change(gate, new, spread, margin) for gate in gates),
        notes=notes,
    )


def _gate_change(gate: _GateRows, new: StoredRun, spread: Spread, margin: float) -> GateChange:
    bases = _speedups(gate.bases)
    shown = GateChange(
        gate=gate.found[0].name,
        change=Change.INCONCLUSIVE,
        reason="",
        base=statistics.geometric_mean(speedup.ratio for speedup in bases),
        base_rounds=tuple(0 if row is None else row.speedup.pairs for row in gate.bases),
        new=None if gate.new is None else gate.new.speedup.ratio,
        new_rounds=0 if gate.new is None else gate.new.speedup.pairs,
    )
    if gate.new is None:
        result = gate.found[0].result
        arms = result.candidate_id, result.baseline_id
        reason = new.unmeasured.get(arms, "the new run does not have it")
        return msgspec.structs.replace(shown, change=Change.VANISHED, reason=reason)
    reason = _why_no_base(gate.bases) or _why_unusable("the new run", gate.new)
    if reason:
        return msgspec.structs.replace(shown, reason=reason)
    found = change_between(bases, gate.new.speedup, spread)
    change = verdict_on(found, margin)
    if change is Change.INCONCLUSIVE:
        reason = "the interval is too wide to tell a change from none; more base runs may narrow it"
    return msgspec.structs.replace(
        shown,
        change=change,
        reason=reason,
        ratio=math.exp(found.log),
        low=math.exp(found.low),
        high=math.exp(found.high),
    )


def _why_no_base(bases: Sequence[RatioRow | None]) -> str:
    """Why some base run says nothing about a gate, or an empty string."""
    reasons = (_why_unusable(_base_name(index, bases), row) for index, row in enumerate(bases))
    return next(filter(None, reasons), "")


def _why_unusable(name: str, row: RatioRow | None) -> str:
    if row is None:
        return f"{name} did not measure it"
    if row.result.verdict is Verdict.NO_EVIDENCE:
        return f"{name} does not prove what ran: {row.result.reason}"
    if row.speedup.pairs < LEAST_ROUNDS:
        return f"{name} has {row.speedup.pairs} quiet rounds, {LEAST_ROUNDS} are needed"
    return ""


def _speedups(rows: Sequence[RatioRow | None]) -> tuple[Speedup, ...]:
    return tuple(row.speedup for row in rows if row is not None)


def _base_name(index: int, bases: Sequence[object]) -> str:
    """The name of a base run in a sentence."""
    return "the base run" if len(bases) == 1 else f"base run {index + 1}"


def _match(
    bases: Sequence[StoredRun], new: StoredRun, across: Collection[str]
) -> tuple[tuple[_GateRows, ...], tuple[str, ...]]:
    """The gates that some base run has, and notes on allowed differences.

    Raises ResultsFileError that names every difference that ``across`` does not allow, and where
    two files hold the same run: a job that failed to write its new file must not look unchanged.
    """
    runs = (*bases, new)
    for one, other in itertools.combinations(runs, 2):
        if one.summary == other.summary:
            raise ResultsFileError(
                f"{one.path} and {other.path} hold the same run, so there is nothing to compare; "
                "name each run once"
            )
    across_engines = _across_engines(runs, across)
    *base_rows, new_rows = (
        {row.name_without_engine if across_engines else row.name: row for row in run.rows.values()}
        for run in runs
    )
    gates = tuple(
        _GateRows(tuple(rows.get(key) for rows in base_rows), new_rows.get(key))
        for key in dict.fromkeys(itertools.chain.from_iterable(base_rows))
    )
    found = [difference for gate in gates for difference in _differences(gate)]
    notes = [*admit(found, across, option=_OPTION, remedy=_REMEDY)]
    for index, base in enumerate(bases):
        if base.summary.started > new.summary.started:
            name = _base_name(index, bases)
            notes.append(f"{name} is later than the new run: {base.summary.started}")
    matched = {gate.new.name for gate in gates if gate.new is not None}
    notes += [f"only the new run has {name}" for name in new.rows if name not in matched]
    return gates, tuple(notes)


def _across_engines(runs: Sequence[StoredRun], across: Collection[str]) -> bool:
    """Whether the runs have no engine in common, so that gates are matched without it."""
    measured = [run for run in runs if run.rows]
    if not measured or set.intersection(*(set(run.engines) for run in measured)):
        return False
    first, *others = ({"engine": ", ".join(run.engines)} for run in measured)
    found = [difference for other in others for difference in differences(first, other)]
    admit(found, across, option=_OPTION, remedy=_REMEDY)
    for run in measured:
        if len(run.engines) > 1:
            raise ResultsFileError(
                f"{run.path} ran {', '.join(run.engines)}, and no engine is in every run: to "
                "compare across engines, name runs of one engine each"
            )
    return True


def _differences(gate: _GateRows) -> Iterator[Difference]:
    """What the other rows do not share with the first."""
    first, *others = gate.found
    for other in others:
        yield from differences(first.environment.host, other.environment.host, "machine")
        yield from differences(first.environment.versions, other.environment.versions, "software")
        yield from differences(first.case.conditions, other.case.conditions)
