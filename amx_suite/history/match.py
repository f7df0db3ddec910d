"""Which gates of several runs belong together, and whether they may be compared."""

from __future__ import annotations

__all__ = ["GateRows", "base_name", "match"]

import itertools
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from amx_suite.core.conditions import Difference, admit, differences
from amx_suite.errors import ResultsFileError
from amx_suite.history.store import Night, RatioRow

_OPTION = "--across"
_REMEDY = "name runs that have this in common"


class GateRows(NamedTuple):
    """One gate's row in each base run and in the new one; None in a run that has none."""

    bases: tuple[RatioRow | None, ...]
    new: RatioRow | None

    @property
    def found(self) -> tuple[RatioRow, ...]:
        """The rows that there are: first that of a base run, which names the gate."""
        return tuple(row for row in (*self.bases, self.new) if row is not None)


def base_name(index: int, bases: Sequence[object]) -> str:
    """What a sentence calls a base run."""
    return "the base run" if len(bases) == 1 else f"base run {index + 1}"


def match(
    bases: Sequence[Night], new: Night, across: Collection[str]
) -> tuple[tuple[GateRows, ...], tuple[str, ...]]:
    """The gates that a base run has, and sentences on what differs all the same.

    Raises ResultsFileError that names every difference which ``across`` does not allow, and where
    two files hold the same run: a job that failed to write its new file must not look unchanged.
    """
    runs = (*bases, new)
    for one, other in itertools.combinations(runs, 2):
        if one.summary == other.summary:
            raise ResultsFileError(
                f"{one.path} and {other.path} hold the same run, so there is nothing to compare; "
                "name each run once"
            )
    with_engine = _share_an_engine(runs, across)
    *base_rows, new_rows = (
        {row.name if with_engine else row.name_without_engine: row for row in run.rows.values()}
        for run in runs
    )
    gates = tuple(
        GateRows(tuple(rows.get(key) for rows in base_rows), new_rows.get(key))
        for key in dict.fromkeys(itertools.chain.from_iterable(base_rows))
    )
    found = [difference for gate in gates for difference in _differences(gate)]
    notes = admit(found, across, option=_OPTION, remedy=_REMEDY)
    notes += tuple(
        f"{base_name(index, bases)} is later than the new run: {base.summary.started}"
        for index, base in enumerate(bases)
        if base.summary.started > new.summary.started
    )
    matched = {gate.new.name for gate in gates if gate.new is not None}
    return gates, notes + tuple(
        f"only the new run has {name}" for name in new.rows if name not in matched
    )


def _share_an_engine(runs: Sequence[Night], across: Collection[str]) -> bool:
    """Whether there is an engine that every run has; if not, each must be of a single one."""
    first, *others = [run for run in runs if run.rows] or [runs[0]]
    if set(first.engines).intersection(*(run.engines for run in others)) or not others:
        return True
    for other in others:
        ours, theirs = ", ".join(first.engines), ", ".join(other.engines)
        found = differences({"engine": ours}, {"engine": theirs})
        admit(found, across, option=_OPTION, remedy=_REMEDY)
    for run in (first, *others):
        if len(run.engines) > 1:
            raise ResultsFileError(
                f"{run.path} ran {', '.join(run.engines)}, of which another run has none: to "
                "compare across engines, name runs of one engine each"
            )
    return False


def _differences(gate: GateRows) -> Iterator[Difference]:
    """In what the other rows differ from the first."""
    first, *others = gate.found
    for other in others:
        yield from differences(first.environment.host, other.environment.host, "machine")
        yield from differences(first.environment.versions, other.environment.versions, "software")
        yield from differences(first.case.conditions, other.case.conditions)
