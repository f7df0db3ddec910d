"""Where arms run: the cores of one instance, and of many that fill the machine."""

from __future__ import annotations

__all__ = ["DEFAULT_CORES", "choose_instance", "node_instances", "small_instances"]

import math

from amx_suite.core.instance import Instance
from amx_suite.errors import UsageError
from amx_suite.host.limits import Limits
from amx_suite.host.topology import Core, Topology

#: Cores of an instance where a node has as many: so are models deployed for latency (MLPerf
#: Inference, Intel's and IPEX's own guides).
DEFAULT_CORES = 4


def choose_instance(
    topology: Topology, limits: Limits, cores: int | None = None, *, option: str = "--cores"
) -> Instance:
    """The instance of that many cores, by default as many as one node has, at most DEFAULT_CORES.

    The choice depends on nothing else: the first node that has enough cores beside that of CPU 0,
    which serves most interrupts, else the first that has enough. Raises UsageError for more cores
    than a node has or the CPU quota allows.
    """
    nodes = _cores_by_node(topology, limits)
    most = max(map(len, nodes.values()), default=0)
    if not most:
        raise UsageError("this process may use no CPU of a node whose memory it may use")
    quota = _quota(limits)
    if cores is not None and cores > most:
        raise UsageError(
            f"{option}: got {cores}, but no NUMA node has more than {most} physical cores that "
            f"this process may use; expected a number from 1 to {most}"
        )
    if cores is not None and cores > quota:
        raise UsageError(
            f"{option}: got {cores}, but a CPU quota leaves this process the time of "
            f"{limits.cpus:g} CPUs; expected a number from 1 to {quota:g}, or lift the quota"
        )
    wanted = cores or int(min(DEFAULT_CORES, most, quota))
    enough = {node: found for node, found in nodes.items() if len(found) >= wanted}

    def without_cpu_0(item: tuple[int, list[Core]]) -> bool:
        return sum(0 not in core.siblings for core in item[1]) >= wanted

    node, found = next(filter(without_cpu_0, enough.items()), next(iter(enough.items())))
    return _instance(found[:wanted], node)


def node_instances(topology: Topology, limits: Limits) -> tuple[Instance, ...]:
    """One instance for each NUMA node, of all its cores that this process may use."""
    nodes = _cores_within_quota(topology, limits)
    return tuple(_instance(cores, node) for node, cores in nodes.items())


def small_instances(topology: Topology, limits: Limits) -> tuple[Instance, ...]:
    """As many instances as fit, of DEFAULT_CORES or the largest size below that gives two.

    On a single core it is one. Cores that are left over in a node stay idle: those of CPU 0 and
    those of which others may use a sibling first.
    """
    nodes = _cores_within_quota(topology, limits)
    found: list[Instance] = []
    for size in range(DEFAULT_CORES, 0, -1):
        found = []
        for node, best in nodes.items():
            used = sorted(best[: len(best) // size * size], key=lambda core: core.cpus[0])
            found += [_instance(used[i : i + size], node) for i in range(0, len(used), size)]
        if len(found) > 1:
            break
    return tuple(found)


def _quota(limits: Limits) -> float:
    """The whole CPUs that a quota leaves, at least one; infinity without a quota."""
    return math.inf if limits.cpus is None else max(1, math.floor(limits.cpus))


def _cores_within_quota(topology: Topology, limits: Limits) -> dict[int, list[Core]]:
    """``_cores_by_node`` with at most as many cores as the quota allows, spread over the nodes."""
    nodes = _cores_by_node(topology, limits)
    while sum(map(len, nodes.values())) > _quota(limits):
        max(nodes.values(), key=len).pop()
    return {node: cores for node, cores in nodes.items() if cores}


def _instance(cores: list[Core], node: int) -> Instance:
    return Instance(tuple(sorted(core.cpus[0] for core in cores)), node)


def _cores_by_node(topology: Topology, limits: Limits) -> dict[int, list[Core]]:
    """The usable cores of each node whose memory may be used, the best ones first.

    A core of which others may use a sibling comes last, and then the core of CPU 0.
    """

    def merit(core: Core) -> tuple[bool, bool, int]:
        return core.cpus != core.siblings, 0 in core.siblings, core.cpus[0]

    return {
        node: sorted(cores, key=merit)
        for node, cores in sorted(_by_node(topology).items())
        if node < 0 or not limits.memory_nodes or node in limits.memory_nodes
    }


def _by_node(topology: Topology) -> dict[int, list[Core]]:
    nodes: dict[int, list[Core]] = {}
    for core in topology.cores:
        nodes.setdefault(core.node, []).append(core)
    return nodes
