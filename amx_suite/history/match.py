"""Which gates of two nights belong together, and whether they may be compared."""

from __future__ import annotations

__all__ = ["Pair", "match"]

from collections.abc import Collection
from typing import NamedTuple

from amx_suite.core.conditions import Difference, admit, differences
from amx_suite.errors import ResultsFileError
from amx_suite.history.store import Night, RatioRow

_OPTION = "--across"
_REMEDY = "name two runs that have this in common"


class Pair(NamedTuple):
    """A row of the base with the new run's row of the same gate, None if it has none."""

    base: RatioRow
    new: RatioRow | None


def match(
    base: Night, new: Night, across: Collection[str]
) -> tuple[tuple[Pair, ...], tuple[str, ...]]:
    """The pairs, and sentences on what differs all the same.

    Raises ResultsFileError that names every difference which ``across`` does not allow, and where
    both are the same run: a job that failed to write its new file must not look unchanged.
    """
    if base.summary == new.summary:
        raise ResultsFileError(
            f"{base.path} and {new.path} hold the same run, so there is nothing to compare; "
            "name the runs of two nights"
        )
    pairs = _pairs(base, new, across)
    found = [difference for pair in pairs for difference in _differences(pair)]
    notes = admit(found, across, option=_OPTION, remedy=_REMEDY)
    if base.summary.started > new.summary.started:
        notes += (f"the base is the later run: {base.summary.started}",)
    matched = {pair.new.name for pair in pairs if pair.new is not None}
    return pairs, notes + tuple(
        f"only the new run has {name}" for name in new.rows if name not in matched
    )


def _pairs(base: Night, new: Night, across: Collection[str]) -> tuple[Pair, ...]:
    if not base.rows or not new.rows or {*base.engines} & {*new.engines}:
        return tuple(Pair(row, new.rows.get(name)) for name, row in base.rows.items())
    ours, theirs = ", ".join(base.engines), ", ".join(new.engines)
    admit(differences({"engine": ours}, {"engine": theirs}), across, option=_OPTION, remedy=_REMEDY)
    if len(base.engines) > 1 or len(new.engines) > 1:
        raise ResultsFileError(
            f"the base ran {ours} and the new run {theirs}: to compare across engines, name runs "
            "of one engine each"
        )
    by_gate = {row.name_without_engine: row for row in new.rows.values()}
    return tuple(Pair(row, by_gate.get(row.name_without_engine)) for row in base.rows.values())


def _differences(pair: Pair) -> tuple[Difference, ...]:
    base, new = pair
    if new is None:
        return ()
    return (
        *differences(base.environment.host, new.environment.host, "machine"),
        *differences(base.environment.versions, new.environment.versions, "software"),
        *differences(base.case.conditions, new.case.conditions),
    )
