"""Which arms run together when memory cannot hold all of them."""

from __future__ import annotations

__all__ = ["place"]

from collections.abc import Iterable, Sequence

from amx_suite.core.gate import Gate
from amx_suite.core.trial import Trial
from amx_suite.trial.decide import gates_of


def place(trial: Trial, gates: Iterable[Gate], capacity: int) -> tuple[frozenset[str], ...]:
    """Ids of the trial's arms in groups of at most ``capacity``, at least 2.

    Each candidate is in a group with its baseline; an arm under no gate runs beside the first.
    """
    pairs = [
        frozenset({candidate.id, baseline.id}) for _, candidate, baseline in gates_of(trial, gates)
    ]
    first = trial.arms[0].id
    paired = frozenset().union(*pairs)
    pairs += [frozenset({case.id, first}) for case in trial.arms if case.id not in paired]
    return _packed([pair for pair in pairs if len(pair) == 2], capacity)


def _packed(pairs: Sequence[frozenset[str]], capacity: int) -> tuple[frozenset[str], ...]:
    """Pairs into as few groups as first fit finds, each pair whole in one of them."""
    if capacity < 2:
        raise ValueError(f"a pair needs a capacity of 2 arms, not {capacity}")
    groups: list[frozenset[str]] = []
    for pair in pairs:
        for index, group in enumerate(groups):
            if len(group | pair) <= capacity:
                groups[index] = group | pair
                break
        else:
            groups.append(pair)
    return tuple(groups)
