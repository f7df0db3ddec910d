"""Threads on cores of their own, and memory on its node."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from amx_suite.worker.placement import (
    Pins,
    memory_share,
    node_of,
    speculation,
    thread_cpus,
    thread_seconds,
)

pytestmark = pytest.mark.selftest

#: No thread has it: the kernel counts from 1 to one less.
LARGEST_ID = 1 << 22
MAPS = """\
55d000 default file=/usr/bin/python mapped=100 N0=100 kernelpagesize_kB=4
7f0000 default anon=1000 dirty=1000 N0=900 N1=100 kernelpagesize_kB=4
7f8000 default huge anon=2 dirty=2 N1=2 kernelpagesize_kB=2048
"""


def test_busiest_threads_get_a_cpu_each() -> None:
    own = threading.get_native_id()
    before = {own: 5.0, 101: 9.0, 102: 0.0}
    after = {own: 6.0, 101: 9.01, 102: 0.9, 103: 0.8}
    pins = Pins([4, 5, 6])
    pins.learn(before, after)
    assert pins.threads == (own, 102, 103)
    pins = Pins([4])
    pins.learn(before, after)
    assert pins.threads == (own,)
    pins.learn({}, {})
    assert pins.threads == (own,)


def test_held_only_meanwhile() -> None:
    allowed = os.sched_getaffinity(0)
    pins = Pins(sorted(allowed))
    with pins.held():
        assert os.sched_getaffinity(0) == allowed, "nothing is known of the threads yet"
    pins.learn({}, thread_seconds())
    with pins.held():
        assert os.sched_getaffinity(0) == {min(allowed)}
        assert thread_cpus(pins.threads)[:1] == (min(allowed),)
    assert os.sched_getaffinity(0) == allowed


def test_ended_thread_is_left_alone() -> None:
    allowed = os.sched_getaffinity(0)
    pins = Pins([*sorted(allowed), 0])
    pins.threads = (threading.get_native_id(), LARGEST_ID)
    assert len(thread_cpus(pins.threads)) == 1
    with pins.held():
        pass


def test_anonymous_memory_counts_by_size(tmp_path: Path) -> None:
    path = tmp_path / "numa_maps"
    path.write_text(MAPS)
    there = 100 * 4 + 2 * 2048
    assert memory_share(1, path) == pytest.approx(there / (there + 900 * 4))
    assert memory_share(7, path) == 0.0
    assert memory_share(-1, path) is None
    assert memory_share(0, tmp_path / "none") is None


def test_node_of_a_cpu(tmp_path: Path) -> None:
    (tmp_path / "cpu57" / "node1").mkdir(parents=True)
    assert node_of((57, 58), tmp_path) == 1
    assert node_of((3,), tmp_path) == node_of((), tmp_path) == -1


def test_speculation_is_named(tmp_path: Path) -> None:
    path = tmp_path / "status"
    path.write_text(
        "Name:\tx\nSpeculation_Store_Bypass:\tthread force mitigated\n"
        "SpeculationIndirectBranch:\talways enabled\n"
    )
    assert speculation(path) == {
        "Speculation_Store_Bypass": "thread force mitigated",
        "SpeculationIndirectBranch": "always enabled",
    }
