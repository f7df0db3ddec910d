"""Which arms run together when memory cannot hold all of them."""

from __future__ import annotations

__all__ = ["place"]

from collections.abc import Iterable

from amx_suite.core.gate import Gate
from amx_suite.core.trial import Trial
from amx_suite.trial.decide import gates_of


def place(trial: Trial, gates: Iterable[Gate], capacity: int) -> tuple[frozenset[str], ...]:
    """Ids of the trial's arms in groups of at most ``capacity``, found by first fit.

    Each candidate is in a group with its baseline; an arm without a gate runs beside the first.
    Raises ValueError if ``capacity`` is below 2.
    """
    if capacity < 2:
        raise ValueError(f"a pair needs a capacity of 2 arms, not {capacity}")
    pairs = [
        frozenset({candidate.id, baseline.id}) for _, candidate, baseline in gates_of(trial, gates)
    ]
    first = trial.arms[0].id
    paired = frozenset().union(*pairs)
    pairs += [frozenset({case.id, first}) for case in trial.arms[1:] if case.id not in paired]
    groups: list[frozenset[str]] = []
    for pair in pairs:
        fitting = (i for i, group in enumerate(groups) if len(group | pair) <= capacity)
        index = next(fitting, None)
        if index is None:
            groups.append(pair)
        else:
            groups[index] |= pair
    return tuple(groups)
