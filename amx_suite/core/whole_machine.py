"""What the whole machine does: many instances at once, and the latency of one."""

from __future__ import annotations

__all__ = ["InstanceRate", "Latency", "Throughput", "WholeMachineResult"]

import math
import statistics
from collections.abc import Mapping
from typing import Annotated

import msgspec
from msgspec import Meta

from amx_suite.core.case import RunCase
from amx_suite.core.evidence import Evidence
from amx_suite.core.instance import Instance
from amx_suite.core.outliers import slow_ones
from amx_suite.core.units import Count, Natural, Rate, Seconds


class InstanceRate(msgspec.Struct, frozen=True):
    """One instance's items per second while all were at work, and what provably ran in it.

    ``steps`` counts all that it did, also those that others were not at work for.
    """

    instance: Instance
    items_per_second: Rate
    steps: Count
    evidence: Evidence


class Throughput(msgspec.Struct, frozen=True, tag=True):
    """Instances that fill the machine and step at the same time.

    ``layout`` says how they fill it and ``case`` is what the first of them runs. ``seconds`` is the
    time during which all were at work; ``tenths`` are the machine's items per second in each tenth
    of it. ``idle_cores`` counts usable cores that no instance has.
    """

    case: RunCase
    layout: str
    unit: str
    seconds: Seconds
    tenths: Annotated[tuple[Rate, ...], Meta(min_length=1)]
    instances: Annotated[tuple[InstanceRate, ...], Meta(min_length=1)]
    idle_cores: Natural = 0

    @property
    def items_per_second(self) -> float:
        """Of the whole machine."""
        return sum(each.items_per_second for each in self.instances)

    @property
    def spread(self) -> tuple[float, float, float]:
        """Median, lowest and highest items per second of an instance."""
        rates = [each.items_per_second for each in self.instances]
        return statistics.median(rates), min(rates), max(rates)

    @property
    def last_over_first(self) -> float | None:
        """The rate of the last tenth over that of the first: below 1 the machine slows down.

        None where an instance did fewer steps than there are tenths: they are then parts of one
        step, and say nothing.
        """
        if min(each.steps for each in self.instances) < len(self.tenths):
            return None
        return self.tenths[-1] / self.tenths[0]

    @property
    def slow(self) -> Mapping[str, float]:
        """Instances that stand out below the others of their size, with their share of the median.

        See ``core.outliers``; CPUs and node are the key.
        """
        sizes = sorted({each.instance.cores for each in self.instances})
        by_size: list[dict[str, float]] = [
            {
                str(each.instance): each.items_per_second
                for each in self.instances
                if each.instance.cores == size
            }
            for size in sizes
        ]
        return {
            name: share
            for rates in by_size
            for name, share in slow_ones(rates, comparisons=len(by_size)).items()
        }


class Latency(msgspec.Struct, frozen=True, tag=True):
    """The seconds of each step of one instance, one item or sequence at a time."""

    case: RunCase
    instance: Instance
    seconds: Annotated[tuple[Seconds, ...], Meta(min_length=1)]
    evidence: Evidence

    def percentile(self, percent: float) -> float:
        """The smallest of the seconds that at least ``percent`` of the steps do not exceed."""
        ordered = sorted(self.seconds)
        return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]

    @property
    def steps(self) -> Count:
        """How many steps were timed."""
        return len(self.seconds)


WholeMachineResult = Throughput | Latency
