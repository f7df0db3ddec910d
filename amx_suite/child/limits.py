"""Limits of the system on children: descriptors, memory kills, stopped processes."""

from __future__ import annotations

__all__ = ["most_children", "oom_kills", "process_is_stopped", "raise_descriptor_limit"]

import resource
from pathlib import Path

#: Descriptors for the rest of this process. Each child takes one more.
_DESCRIPTORS_OF_THE_PARENT = 64


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open files to the hard limit; returns the new limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def most_children() -> int:
    """How many more children this process has descriptors for, at least one."""
    limit = raise_descriptor_limit()
    if limit == resource.RLIM_INFINITY:
        limit = 1 << 20
    taken = sum(1 for _ in Path("/proc/self/fd").iterdir())
    return max(1, limit - taken - _DESCRIPTORS_OF_THE_PARENT)


def oom_kills(root: Path = Path("/")) -> int:
    """How many processes of this control group the kernel has killed for memory.

    Counts the whole machine where the group's files cannot be read; 0 where nothing can.
    Source: Linux Documentation/admin-guide/cgroup-v2.rst (memory.events) and
    cgroup-v1/memory.rst (memory.oom_control).
    """
    for file in (*_group_files(root), root / "proc/vmstat"):
        try:
            lines = file.read_text().splitlines()
        except OSError:
            continue
        counts = [int(line.split()[1]) for line in lines if line.startswith("oom_kill ")]
        if counts:
            return counts[0]
    return 0


def _group_files(root: Path) -> list[Path]:
    """The files that count this control group's kills, version 1 before version 2."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    mount = root / "sys/fs/cgroup"
    files: list[Path] = []
    for line in sorted(lines, reverse=True):
        _, controllers, path = line.split(":", 2)
        # A container may see its own group as the root of the tree.
        for group in (path.lstrip("/"), ""):
            if "memory" in controllers.split(","):
                files.append(mount / "memory" / group / "memory.oom_control")
            elif not controllers:
                files.append(mount / group / "memory.events")
    return files


def process_is_stopped(pid: int) -> bool:
    """Whether the process is stopped (SIGSTOP, a debugger)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    # The name in parentheses may hold anything; the state is the first field after it.
    return text.rpartition(")")[2].split()[0] in ("T", "t")
