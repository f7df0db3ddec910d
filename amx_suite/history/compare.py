"""A verdict on each gate, and on a whole new run, against one or more base runs."""

from __future__ import annotations

__all__ = ["Comparison", "GateChange", "Run", "compare"]

import itertools
import statistics
from collections.abc import Collection, Iterator, Sequence

import msgspec

from amx_suite.core.conditions import Difference, admit, differences
from amx_suite.core.run import ExitCode, exit_code
from amx_suite.core.verdict import GateResult, Verdict
from amx_suite.errors import ResultsFileError
from amx_suite.history.change import Change, Spread, change_between, spread_between, verdict_on
from amx_suite.history.store import RatioRow, StoredRun, same_run
from amx_suite.history.throughput import (
    ThroughputChange,
    throughput_changes,
    throughput_differences,
)
from amx_suite.trial.decide import LEAST_ROUNDS
from amx_suite.trial.interval import CONFIDENCE

_TOO_WIDE = "the interval is too wide to tell a change from none; more base runs may narrow it"

#: Raised whenever a written comparison changes its meaning or layout.
_SCHEMA_VERSION = 2

#: One gate's row in each run, the new one last; None in a run that has none.
_Rows = Sequence[RatioRow | None]


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
    only the new run has. ``throughput`` is of the whole machine, and decides nothing.
    """

    bases: tuple[Run, ...]
    new: Run
    margin: float
    confidence: float
    spread: Spread
    gates: tuple[GateChange, ...]
    notes: tuple[str, ...]
    throughput: tuple[ThroughputChange, ...] = ()
    schema_version: int = _SCHEMA_VERSION

    @property
    def exit_code(self) -> ExitCode:
        """FAILED if a gate got worse, UNDECIDED if one may have or there is none, else OK."""
        found = {gate.change for gate in self.gates}
        decided = found and found.isdisjoint({Change.INCONCLUSIVE, Change.VANISHED})
        return exit_code(failed=Change.WORSE in found, undecided=not decided)


def compare(
    bases: Sequence[StoredRun], new: StoredRun, *, margin: float, across: Collection[str] = ()
) -> Comparison:
    """Compare one or more base runs with a new one, gate by gate, by the rule in ``change``.

    Raises ResultsFileError that names every difference between the runs that ``across`` does not
    allow, and where two files hold the same run: a job that failed to write its new file must not
    look unchanged.
    """
    runs = (*bases, new)
    if (same := same_run(runs)) is not None:
        one, other = same
        raise ResultsFileError(
            f"{one.path} and {other.path} hold the same run, so there is nothing to compare; "
            "name each run once"
        )
    *of_bases, of_new = _rows_by_gate(runs)
    gates = {
        key: [rows.get(key) for rows in (*of_bases, of_new)]
        for key in itertools.chain.from_iterable(of_bases)
    }
    found = [difference for rows in gates.values() for difference in _differences(rows)]
    found += throughput_differences(bases, new)
    notes = [*admit(found, across, option="--across", remedy="name runs that have this in common")]
    notes += [
        f"{base.path} is later than the new run: {base.summary.started}"
        for base in bases
        if base.summary.started > new.summary.started
    ]
    notes += [f"only the new run has {row.name}" for key, row in of_new.items() if key not in gates]
    spread = spread_between(
        [row.speedup for row in rows if row is not None]
        for *rows, _ in gates.values()
        if not _why_unusable(rows, bases)
    )
    return Comparison(
        bases=tuple(Run(base.path, base.summary.started) for base in bases),
        new=Run(new.path, new.summary.started),
        margin=margin,
        confidence=CONFIDENCE,
        spread=spread,
        gates=tuple(_gate_change(rows, runs, spread, margin) for rows in gates.values()),
        notes=tuple(notes),
        throughput=tuple(throughput_changes(bases, new)),
    )


def _rows_by_gate(runs: Sequence[StoredRun]) -> Iterator[dict[str, RatioRow]]:
    """The rows of each run under the names by which gates are matched.

    Without the engine if each run has but one, so that engines may be compared.
    """
    measured = [run for run in runs if run.rows]
    several = [run for run in measured if len(run.engines) > 1]
    if several and not set.intersection(*(set(run.engines) for run in measured)):
        raise ResultsFileError(
            f"{several[0].path} ran {', '.join(several[0].engines)}, and no engine is in every "
            "run: to compare across engines, name runs of one engine each"
        )
    for run in runs:
        yield {row.name if several else row.name_without_engine: row for row in run.rows}


def _differences(rows: _Rows) -> Iterator[Difference]:
    """What the other runs do not share with the first."""
    first, *others = (row for row in rows if row is not None)
    for other in others:
        yield from differences(first.environment.host, other.environment.host, "machine")
        yield from differences(first.environment.versions, other.environment.versions, "software")
        yield from differences(first.case.conditions, other.case.conditions)


def _gate_change(
    rows: _Rows, runs: Sequence[StoredRun], spread: Spread, margin: float
) -> GateChange:
    *base_rows, new = rows
    measured = [row for row in base_rows if row is not None]
    bases = [row.speedup for row in measured]
    estimate, reason = None, _why_unusable(rows, runs)
    change = Change.INCONCLUSIVE
    if new is None:
        change, reason = Change.VANISHED, _why_vanished(measured[0].result, runs[-1])
    elif not reason:
        estimate = change_between(bases, new.speedup, spread)
        change = verdict_on(estimate, margin)
        if change is Change.INCONCLUSIVE:
            reason = _TOO_WIDE
    return GateChange(
        gate=measured[0].name,
        change=change,
        reason=reason,
        base=statistics.geometric_mean(speedup.ratio for speedup in bases),
        base_rounds=tuple(0 if row is None else row.speedup.pairs for row in base_rows),
        new=None if new is None else new.speedup.ratio,
        new_rounds=0 if new is None else new.speedup.pairs,
        **(estimate._asdict() if estimate else {}),
    )


def _why_vanished(base: GateResult, new: StoredRun) -> str:
    for result in (result for trial in new.summary.trials for result in trial.gates):
        if (result.candidate_id, result.baseline_id) == (base.candidate_id, base.baseline_id):
            return f"{result.verdict}: {result.reason}"
    return "the new run does not have it"


def _why_unusable(rows: _Rows, runs: Sequence[StoredRun]) -> str:
    """Why the first unusable row says nothing about its gate; empty if all are usable."""
    for run, row in zip(runs, rows, strict=True):
        if row is None:
            return f"{run.path} did not measure it"
        if row.result.verdict is Verdict.NO_EVIDENCE:
            return f"{run.path} does not prove what ran: {row.result.reason}"
        if row.speedup.pairs < LEAST_ROUNDS:
            return f"{run.path} has {row.speedup.pairs} quiet rounds, {LEAST_ROUNDS} are needed"
    return ""
