"""What control groups leave to this process: CPU time, memory and NUMA nodes.

CPU affinity and ``MemAvailable`` show none of it. Sources: Linux Documentation,
admin-guide/cgroup-v2.rst and cgroup-v1/.
"""

from __future__ import annotations

__all__ = ["Limits", "memory_left", "read_limits", "throttled_seconds"]

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from amx_suite.child.cgroups import Group, groups
from amx_suite.files import text_of
from amx_suite.host.topology import parse_cpu_list

#: Version 1 writes the largest multiple of a page for "no limit".
_NO_LIMIT = 1 << 60


class Limits(msgspec.Struct, frozen=True):
    """The limits of this process.

    ``cpus`` is the CPU time that it may use, in CPUs, and ``memory_bytes`` its memory; None for no
    limit. ``memory_nodes`` are the NUMA nodes whose memory it may use, empty where unknown.
    """

    cpus: float | None = None
    memory_bytes: int | None = None
    memory_nodes: tuple[int, ...] = ()


def read_limits(root: Path = Path("/")) -> Limits:
    """The tightest limits of this process's control groups and all groups above them."""
    quotas = [quota for group in groups("cpu", root) for quota in _quota(group)]
    memory = [size for group in groups("memory", root) for size in _memory(group)]
    return Limits(
        cpus=min(quotas, default=None),
        memory_bytes=min(memory, default=None),
        memory_nodes=_memory_nodes(root / "proc/self/status"),
    )


def memory_left(root: Path = Path("/")) -> int | None:
    """Bytes that this process's control groups still leave to it; None for no limit.

    Pages of files that were not used lately count as free, since the kernel drops them first.
    """
    left = [
        limit - _number(group.folder / used) + _dropped(group.folder / "memory.stat")
        for group in groups("memory", root)
        for used in ("memory.current" if group.version == 2 else "memory.usage_in_bytes",)
        for limit in _memory(group)
    ]
    return min(left, default=None)


def throttled_seconds(root: Path = Path("/")) -> float:
    """Seconds for which a CPU quota has stopped this process's groups so far, summed over groups.

    It only grows; 0 where no quota has ever stopped one.
    """
    total = 0.0
    for group in groups("cpu", root):
        found = dict(re.findall(r"(\S+) (\d+)", text_of(group.folder / "cpu.stat")))
        total += int(found.get("throttled_usec", 0)) * 1e-6
        total += int(found.get("throttled_time", 0)) * 1e-9
    return total


def _quota(group: Group) -> Iterator[float]:
    if group.version == 2:
        quota, _, period = text_of(group.folder / "cpu.max").partition(" ")
    else:
        quota = text_of(group.folder / "cpu.cfs_quota_us")
        period = text_of(group.folder / "cpu.cfs_period_us")
    if quota.isdecimal() and period.isdecimal() and int(period):
        yield int(quota) / int(period)


def _memory(group: Group) -> Iterator[int]:
    name = "memory.max" if group.version == 2 else "memory.limit_in_bytes"
    size = text_of(group.folder / name)
    if size.isdecimal() and int(size) < _NO_LIMIT:
        yield int(size)


def _dropped(stat: Path) -> int:
    found = re.search(r"^(?:total_)?inactive_file (\d+)$", text_of(stat), re.MULTILINE)
    return int(found[1]) if found else 0


def _number(path: Path) -> int:
    text = text_of(path)
    return int(text) if text.isdecimal() else 0


def _memory_nodes(status: Path) -> tuple[int, ...]:
    found = re.search(r"^Mems_allowed_list:\s*(\S+)$", text_of(status), re.MULTILINE)
    return parse_cpu_list(found[1]) if found else ()
