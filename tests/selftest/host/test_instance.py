"""Which cores an instance gets, on machines from one core to 448 CPUs."""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import pytest

from amx_suite.core.instance import Instance
from amx_suite.errors import UsageError
from amx_suite.host.instance import choose_instance, node_instances, small_instances
from amx_suite.host.limits import Limits
from amx_suite.host.topology import Topology, read_topology

pytestmark = pytest.mark.selftest


def machine(
    siblings: Iterable[tuple[int, ...]], nodes: Mapping[int, str], allowed: Iterable[int]
) -> Topology:
    """The topology read from a tree as Linux shows it."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        for core in siblings:
            for cpu in core:
                folder = root / f"sys/devices/system/cpu/cpu{cpu}/topology"
                folder.mkdir(parents=True)
                (folder / "thread_siblings_list").write_text(",".join(map(str, core)) + "\n")
                (folder / "physical_package_id").write_text("0\n")
        for node, cpus in nodes.items():
            folder = root / f"sys/devices/system/node/node{node}"
            folder.mkdir(parents=True)
            (folder / "cpulist").write_text(cpus + "\n")
        return read_topology(allowed, root=root)


@functools.cache
def guest() -> Topology:
    return machine([(0,), (1,)], {0: "0-1"}, range(2))


@functools.cache
def one_core() -> Topology:
    return machine([(0, 1)], {0: "0-1"}, range(2))


@functools.cache
def one_socket() -> Topology:
    return machine([(c, c + 56) for c in range(56)], {0: "0-111"}, range(112))


@functools.cache
def two_sockets() -> Topology:
    nodes = {0: "0-55,112-167", 1: "56-111,168-223"}
    return machine([(c, c + 112) for c in range(112)], nodes, range(224))


@functools.cache
def sub_numa() -> Topology:
    """Six nodes of 2 cores, and one that has memory only."""
    nodes = {**{n: f"{2 * n}-{2 * n + 1},{2 * n + 12}-{2 * n + 13}" for n in range(6)}, 6: ""}
    return machine([(c, c + 12) for c in range(12)], nodes, range(24))


@functools.cache
def huge() -> Topology:
    return machine([(c, c + 1) for c in range(0, 448, 2)], {0: "0-223", 1: "224-447"}, range(448))


@functools.cache
def holes() -> Topology:
    """A cpuset with halves of cores, and CPUs that are offline."""
    online = [(c, c + 8) for c in range(8) if c != 3]
    return machine(online, {0: "0-15"}, [1, 2, 4, 5, 9, 10, 12])


@functools.cache
def from_64() -> Topology:
    return machine([(64,), (65,), (66,)], {3: "64-66"}, [64, 65, 66])


@pytest.mark.parametrize(
    ("build", "limits", "expected"),
    [
        (guest, Limits(), Instance((0, 1), 0)),
        (one_core, Limits(), Instance((0,), 0)),
        (one_socket, Limits(), Instance((1, 2, 3, 4), 0)),
        (two_sockets, Limits(), Instance((1, 2, 3, 4), 0)),
        (two_sockets, Limits(memory_nodes=(1,)), Instance((56, 57, 58, 59), 1)),
        (sub_numa, Limits(), Instance((2, 3), 1)),
        (huge, Limits(), Instance((2, 4, 6, 8), 0)),
        # Others use the sibling of CPU 5.
        (holes, Limits(), Instance((1, 2, 4, 5), 0)),
        (from_64, Limits(), Instance((64, 65, 66), 3)),
        (one_socket, Limits(cpus=1.5), Instance((1,), 0)),
        (one_socket, Limits(cpus=0.5), Instance((1,), 0)),
        (one_socket, Limits(cpus=3.9), Instance((1, 2, 3), 0)),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_default(build, limits: Limits, expected: Instance) -> None:  # type: ignore[no-untyped-def]
    assert choose_instance(build(), limits) == expected


def test_whole_cores_come_first() -> None:
    assert choose_instance(holes(), Limits(), 3).cpus == (1, 2, 4)


def test_cpu_0_is_used_where_needed() -> None:
    topology = one_socket()
    assert 0 not in choose_instance(topology, Limits(), 55).cpus
    assert choose_instance(topology, Limits(), 56).cpus == tuple(range(56))


@pytest.mark.parametrize(
    ("cores", "limits", "complaint"),
    [
        (57, Limits(), "no NUMA node has more than 56 physical cores"),
        (2, Limits(cpus=1.5), "a CPU quota leaves this process the time of 1.5 CPUs"),
    ],
)
def test_too_many_are_refused(cores: int, limits: Limits, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        choose_instance(one_socket(), limits, cores)


def test_no_node_with_memory_is_refused() -> None:
    with pytest.raises(UsageError, match="may use no CPU of a node"):
        choose_instance(guest(), Limits(memory_nodes=(7,)))


def test_reads_as_a_sentence() -> None:
    assert str(Instance((1, 2), 0)) == "2 cores of NUMA node 0, CPUs 1, 2"
    assert str(Instance((5,))) == "1 core, CPU 5"


@pytest.mark.parametrize(
    ("build", "limits", "expected"),
    [
        (guest, Limits(), {0: 2}),
        (one_core, Limits(), {0: 1}),
        (two_sockets, Limits(), {0: 56, 1: 56}),
        (two_sockets, Limits(memory_nodes=(1,)), {1: 56}),
        (two_sockets, Limits(cpus=9.5), {0: 4, 1: 5}),
        (two_sockets, Limits(cpus=0.5), {1: 1}),
        (sub_numa, Limits(), dict.fromkeys(range(6), 2)),
        (holes, Limits(), {0: 4}),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_one_instance_per_node(build, limits: Limits, expected) -> None:  # type: ignore[no-untyped-def]
    found = node_instances(build(), limits)
    assert {each.node: each.cores for each in found} == expected


@pytest.mark.parametrize(
    ("build", "limits", "expected"),
    [
        (guest, Limits(), [(0,), (1,)]),
        (one_core, Limits(), [(0,)]),
        (from_64, Limits(), [(64,), (65,), (66,)]),
        (holes, Limits(), [(1, 2), (4, 5)]),
        (one_socket, Limits(cpus=8), [(1, 2, 3, 4), (5, 6, 7, 8)]),
        (one_socket, Limits(cpus=7), [(1, 2, 3), (4, 5, 6)]),
        (one_socket, Limits(cpus=1.5), [(1,)]),
        (sub_numa, Limits(), [(0, 1), (2, 3), (4, 5), (6, 7), (8, 9), (10, 11)]),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_small_instances(build, limits: Limits, expected) -> None:  # type: ignore[no-untyped-def]
    assert [each.cpus for each in small_instances(build(), limits)] == expected


def test_small_instances_fill_both_sockets() -> None:
    found = small_instances(two_sockets(), Limits())
    assert {(each.node, each.cores) for each in found} == {(0, 4), (1, 4)}
    assert sorted(cpu for each in found for cpu in each.cpus) == list(range(112))
    assert all({cpu // 56 for cpu in each.cpus} == {each.node} for each in found)
