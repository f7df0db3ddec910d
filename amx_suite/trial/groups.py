"""Which arms run together when memory cannot hold all of them."""

from __future__ import annotations

__all__ = ["group_arms"]

from collections.abc import Sequence


def group_arms(pairs: Sequence[frozenset[str]], capacity: int) -> tuple[frozenset[str], ...]:
    """Pack (candidate, baseline) pairs into as few groups of at most ``capacity`` arms as it finds.

    Each pair lies whole in some group, so each candidate always runs beside its baseline. First
    fit in the given order. ``capacity`` must be at least 2.
    """
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
