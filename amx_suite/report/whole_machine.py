"""The rows of the whole machine: throughput of many instances, and latency of one."""

from __future__ import annotations

__all__ = ["whole_machine_tables"]

from collections.abc import Sequence

from amx_suite.core.case import RunCase
from amx_suite.core.whole_machine import InstanceRate, Latency, Throughput, WholeMachineResult
from amx_suite.report.rows import evidence_text
from amx_suite.report.table import Column, Table

_THROUGHPUT_COLUMNS = (
    Column("case"),
    Column("instances", wraps=True),
    Column("seconds", align_right=True),
    Column("whole machine", align_right=True),
    Column("of an instance"),
    Column("last/first tenth", align_right=True),
    Column("over no AMX", align_right=True),
    Column("outliers", wraps=True),
    Column("evidence", wraps=True),
)
_LATENCY_COLUMNS = (
    Column("case"),
    Column("instance", wraps=True),
    Column("P50 ms", align_right=True),
    Column("P99 ms", align_right=True),
    Column("steps", align_right=True),
    Column("evidence", wraps=True),
)


def whole_machine_tables(results: Sequence[WholeMachineResult]) -> tuple[Table, ...]:
    """A table of throughput and one of latency, of what was measured.

    The rate of an instance is the median, with the lowest and the highest in brackets. The last
    tenth of the time over the first is below 1 where the machine slows down; ``-`` where there were
    too few steps. A ratio over the same precision without AMX is shown and not judged.
    """
    found = [each for each in results if isinstance(each, Throughput)]
    throughput = Table(
        _THROUGHPUT_COLUMNS,
        tuple(_throughput_row(each, found) for each in found),
        empty="",
        title="Throughput of all instances at once",
    )
    latency = Table(
        _LATENCY_COLUMNS,
        tuple(_latency_row(each) for each in results if isinstance(each, Latency)),
        empty="",
        title="Latency of one item at a time",
    )
    return tuple(table for table in (throughput, latency) if table.rows)


def _throughput_row(result: Throughput, others: Sequence[Throughput]) -> tuple[str, ...]:
    median, low, high = result.spread
    idle = f", {result.idle_cores} cores idle" if result.idle_cores else ""
    slow = (f"{name}: {share:.0%} of the median" for name, share in result.slow.items())
    baseline = next((other for other in others if _is_baseline(other, result)), None)
    return (
        _name(result.case),
        f"{_sizes(result.instances)}, {result.layout}{idle}",
        f"{result.seconds:.0f}",
        f"{result.items_per_second:.1f} {result.unit}/s",
        f"{median:.1f} [{low:.1f}, {high:.1f}]",
        "-" if result.last_over_first is None else f"{result.last_over_first:.2f}",
        f"{result.items_per_second / baseline.items_per_second:.2f}x" if baseline else "",
        "; ".join(slow) or "none",
        "; ".join(dict.fromkeys(evidence_text(result.case, i.evidence) for i in result.instances)),
    )


def _latency_row(result: Latency) -> tuple[str, ...]:
    return (
        _name(result.case),
        str(result.instance),
        f"{result.percentile(50) * 1e3:.2f}",
        f"{result.percentile(99) * 1e3:.2f}",
        str(result.steps),
        evidence_text(result.case, result.evidence),
    )


def _name(case: RunCase) -> str:
    return f"{case.name} {case.shape}"


def _sizes(instances: Sequence[InstanceRate]) -> str:
    """Such as ``28 x 4 cores``, or ``1 x 24 + 1 x 28 cores``."""
    sizes = [each.instance.cores for each in instances]
    counted = (f"{sizes.count(size)} x {size}" for size in sorted(set(sizes)))
    return f"{' + '.join(counted)} core{'s' * (max(sizes) > 1)}"


def _is_baseline(other: Throughput, result: Throughput) -> bool:
    """Whether the other is the same, but without AMX."""
    ours, theirs = result.case, other.case
    return (
        ours.isa.allows_amx
        and not theirs.isa.allows_amx
        and other.layout == result.layout
        and (theirs.workload, theirs.precision) == (ours.workload, ours.precision)
        and theirs.conditions == ours.conditions
    )
