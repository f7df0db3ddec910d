"""The whole machine's throughput in runs that have the same case: shown, and judged by no gate.

It is no ratio within one run, so that a machine that is slower tonight changes it.
"""

from __future__ import annotations

__all__ = ["ThroughputChange", "throughput_changes", "throughput_differences"]

import statistics
from collections.abc import Iterator, Sequence

import msgspec

from amx_suite.core.conditions import Difference, differences
from amx_suite.core.whole_machine import Throughput
from amx_suite.history.store import StoredRun

#: The case, its layout, and the number of instances.
_Key = tuple[str, str, int]


class ThroughputChange(msgspec.Struct, frozen=True):
    """Items per second of all instances; ``base`` is the geometric mean of its base runs."""

    case: str
    layout: str
    unit: str
    base: float
    new: float


def throughput_changes(bases: Sequence[StoredRun], new: StoredRun) -> Iterator[ThroughputChange]:
    """What the new run and one base run or more have measured."""
    found = [_by_key(base) for base in bases]
    for key, result in _by_key(new).items():
        earlier = [results[key].items_per_second for results in found if key in results]
        if earlier:
            yield ThroughputChange(
                case=f"{result.case.name} {result.case.shape}",
                layout=f"{len(result.instances)} x {result.case.cores} cores, {result.layout}",
                unit=result.unit,
                base=statistics.geometric_mean(earlier),
                new=result.items_per_second,
            )


def throughput_differences(bases: Sequence[StoredRun], new: StoredRun) -> Iterator[Difference]:
    """How base runs with throughput that the new run has as well differ from it."""
    for base in bases:
        if not _by_key(base).keys().isdisjoint(_by_key(new)):
            yield from differences(base.summary.machine, new.summary.machine, "machine")
            yield from differences(base.summary.versions, new.summary.versions, "software")


def _by_key(run: StoredRun) -> dict[_Key, Throughput]:
    return {
        (each.case.id, each.layout, len(each.instances)): each
        for each in run.summary.whole_machine
        if isinstance(each, Throughput)
    }
