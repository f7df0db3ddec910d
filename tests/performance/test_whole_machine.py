"""What does the whole machine do: throughput of all cores at once, and latency of one instance?

No gate judges these figures. A test passes if every instance provably ran what it says and none is
much slower than the others. A machine without AMX runs the cases without it.
"""

from __future__ import annotations

import pytest

from amx_suite.plugin.rows import AmxRow
from amx_suite.plugin.whole_machine import AmxWholeMachine

pytestmark = [pytest.mark.performance, pytest.mark.level(4)]


@pytest.mark.benchmark(group="seconds per item of the whole machine, one instance per NUMA node")
def test_throughput_of_nodes(amx_whole_machine: AmxWholeMachine, amx_row: AmxRow) -> None:
    """One instance on each NUMA node; its row holds seconds per item in each tenth of the time."""
    amx_whole_machine.throughput_of_nodes(amx_row)


@pytest.mark.benchmark(group="seconds per item of the whole machine, small instances")
def test_throughput_of_small_instances(amx_whole_machine: AmxWholeMachine, amx_row: AmxRow) -> None:
    """Instances of 4 cores on all cores; its row holds seconds per item in each tenth."""
    amx_whole_machine.throughput_of_small_instances(amx_row)


@pytest.mark.benchmark(group="seconds per step of one item")
def test_latency(amx_whole_machine: AmxWholeMachine, amx_row: AmxRow) -> None:
    """One item at a time on this run's instance; its row holds the seconds of each step."""
    amx_whole_machine.latency(amx_row)
