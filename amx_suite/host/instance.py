"""Where an arm runs: physical cores of one NUMA node, one thread on each."""

from __future__ import annotations

__all__ = ["DEFAULT_CORES", "Instance", "choose_instance"]

import math

import msgspec

from amx_suite.errors import UsageError
from amx_suite.host.limits import Limits
from amx_suite.host.topology import Core, Topology

#: Cores of an instance where a node has as many: so are models deployed for latency (MLPerf
#: Inference, Intel's and IPEX's own guides).
DEFAULT_CORES = 4


class Instance(msgspec.Struct, frozen=True):
    """One CPU of each of its cores, and their NUMA node (-1 where unknown)."""

    cpus: tuple[int, ...]
    node: int = -1

    @property
    def cores(self) -> int:
        """The number of cores, and of compute threads."""
        return len(self.cpus)

    def __str__(self) -> str:
        cpus = ", ".join(map(str, self.cpus))
        node = f" of NUMA node {self.node}" if self.node >= 0 else ""
        return (
            f"{self.cores} core{'s' * (self.cores > 1)}{node}, CPU{'s' * (self.cores > 1)} {cpus}"
        )


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
    quota = math.inf if limits.cpus is None else max(1, math.floor(limits.cpus))
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
