"""Which gates of several runs belong together, and whether they may be compared."""

from __future__ import annotations

__all__ = ["GateRows", "base_name", "match"]

import itertools
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from amx_suite.core.conditions import Difference, admit, differences
from amx_suite.errors import ResultsFileError
from amx_suite.history.store import RatioRow, StoredRun

_OPTION = "--across"
_REMEDY = "name runs that have this in common"


class GateRows(NamedTuple):
    """One gate's row in each base run and in the new one; None in a run that has none."""

    bases: tuple[RatioRow | None, ...]
    new: RatioRow | None

    @property
    def found(self) -> tuple[RatioRow, ...]:
        """The rows without the gaps; the first is a base run's and names the gate."""
        return tuple(row for row in (*self.bases, self.new) if row is not None)


def base_name(index: int, bases: Sequence[object]) -> str:
    """The name of a base run in a sentence."""
    return "the base run" if len(bases) == 1 else f"base run {index + 1}"


def match(
    bases: Sequence[StoredRun], new: StoredRun, across: Collection[str]
) -> tuple[tuple[GateRows, ...], tuple[str, ...]]:
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
        GateRows(tuple(rows.get(key) for rows in base_rows), new_rows.get(key))
        for key in dict.fromkeys(itertools.chain.from_iterable(base_rows))
    )
    found = [difference for gate in gates for difference in _differences(gate)]
    notes = [*admit(found, across, option=_OPTION, remedy=_REMEDY)]
    for index, base in enumerate(bases):
        if base.summary.started > new.summary.started:
            name = base_name(index, bases)
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


def _differences(gate: GateRows) -> Iterator[Difference]:
    """What the other rows do not share with the first."""
    first, *others = gate.found
    for other in others:
        yield from differences(first.environment.host, other.environment.host, "machine")
        yield from differences(first.environment.versions, other.environment.versions, "software")
        yield from differences(first.case.conditions, other.case.conditions)
