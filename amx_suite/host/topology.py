"""CPUs, cores, NUMA nodes, caches and memory, read from /sys and /proc."""

from __future__ import annotations

__all__ = ["Cache", "Core", "Topology", "parse_cpu_list", "read_topology"]

import os
import re
from collections.abc import Iterable
from pathlib import Path

import msgspec

from amx_suite.files import text_of

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


class Core(msgspec.Struct, frozen=True):
    """A physical core: its CPUs that this process may use, and all its hardware threads.

    ``package`` and ``node`` are -1 where unknown.
    """

    cpus: tuple[int, ...]
    siblings: tuple[int, ...]
    package: int = -1
    node: int = -1


class Cache(msgspec.Struct, frozen=True):
    """One cache of the first allowed CPU; ``shared_by`` counts the CPUs that share it."""

    level: int
    kind: str
    size_bytes: int
    shared_by: int


class Topology(msgspec.Struct, frozen=True):
    """The CPUs this process may use; ``memory_bytes`` is the machine's, 0 if unknown.

    ``online`` and ``offline`` count all CPUs of the machine, 0 if unknown. ``memory_nodes`` are the
    NUMA nodes that have memory and no CPU, such as those of HBM in flat mode.
    """

    cores: tuple[Core, ...] = ()
    caches: tuple[Cache, ...] = ()
    memory_bytes: int = 0
    online: int = 0
    offline: int = 0
    memory_nodes: tuple[int, ...] = ()

    @property
    def cpus(self) -> tuple[int, ...]:
        """All allowed CPUs, ascending."""
        return tuple(sorted(cpu for core in self.cores for cpu in core.cpus))

    @property
    def one_cpu_per_core(self) -> tuple[int, ...]:
        """The first allowed CPU of each core, so that no two threads share a tile unit."""
        return tuple(core.cpus[0] for core in self.cores)

    @property
    def nodes(self) -> tuple[int, ...]:
        """NUMA nodes that hold an allowed CPU."""
        return tuple(sorted({core.node for core in self.cores}))


def parse_cpu_list(text: str) -> tuple[int, ...]:
    """Read the kernel's notation, such as ``0-3,8``; empty for anything else."""
    cpus: list[int] = []
    for part in filter(None, text.strip().split(",")):
        match = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        if match is None:
            return ()
        cpus.extend(range(int(match[1]), int(match[2] or match[1]) + 1))
    return tuple(cpus)


def read_topology(allowed: Iterable[int] | None = None, *, root: Path = Path("/")) -> Topology:
    """Read the topology of the allowed CPUs, by default this process's.

    Missing files are no error; without any, every CPU counts as a core of its own.
    """
    cpus = tuple(sorted(os.sched_getaffinity(0) if allowed is None else allowed))
    system = root / "sys/devices/system"
    node_of = _node_of_each_cpu(system / "node")
    cores: dict[tuple[int, ...], Core] = {}
    for cpu in cpus:
        folder = system / f"cpu/cpu{cpu}/topology"
        siblings = parse_cpu_list(text_of(folder / "thread_siblings_list")) or (cpu,)
        if siblings not in cores:
            mine = tuple(sibling for sibling in siblings if sibling in cpus)
            package = _number(folder / "physical_package_id")
            cores[siblings] = Core(mine or (cpu,), siblings, package, node_of.get(cpu, -1))
    return Topology(
        cores=tuple(cores.values()),
        caches=_caches(system / f"cpu/cpu{cpus[0]}/cache") if cpus else (),
        memory_bytes=_memory_bytes(root / "proc/meminfo"),
        online=len(parse_cpu_list(text_of(system / "cpu/online"))),
        offline=len(parse_cpu_list(text_of(system / "cpu/offline"))),
        memory_nodes=tuple(
            sorted(
                int(path.name.removeprefix("node"))
                for path in (system / "node").glob("node[0-9]*")
                if (path / "cpulist").exists() and not text_of(path / "cpulist")
            )
        ),
    )


def _number(path: Path) -> int:
    text = text_of(path)
    return int(text) if text.isdecimal() else -1


def _node_of_each_cpu(folder: Path) -> dict[int, int]:
    node_of: dict[int, int] = {}
    for path in folder.glob("node[0-9]*"):
        for cpu in parse_cpu_list(text_of(path / "cpulist")):
            node_of[cpu] = int(path.name.removeprefix("node"))
    return node_of


def _caches(folder: Path) -> tuple[Cache, ...]:
    found = []
    for path in sorted(folder.glob("index[0-9]*")):
        size = re.fullmatch(r"(\d+)([KMG]?)", text_of(path / "size"))
        level = _number(path / "level")
        if size is None or level < 0:
            continue
        shared = parse_cpu_list(text_of(path / "shared_cpu_list"))
        size_bytes = int(size[1]) * _UNITS[size[2]]
        found.append(Cache(level, text_of(path / "type").lower(), size_bytes, len(shared) or 1))
    return tuple(found)


def _memory_bytes(path: Path) -> int:
    match = re.search(r"^MemTotal:\s+(\d+) kB$", text_of(path), re.MULTILINE)
    return int(match[1]) << 10 if match else 0
