"""What the system allows and has done to children: descriptors, memory, stopped processes."""

from __future__ import annotations

__all__ = ["most_children", "oom_kills", "process_is_stopped", "raise_descriptor_limit"]

import resource
from pathlib import Path

#: Descriptors of the parent for one child, and what the rest of the parent may need.
_DESCRIPTORS_OF_A_CHILD = 1
_DESCRIPTORS_OF_THE_PARENT = 64


def raise_descriptor_limit() -> int:
    """Raise the soft limit of open files to the hard one; returns the limit in force."""
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
    return max(1, (limit - taken - _DESCRIPTORS_OF_THE_PARENT) // _DESCRIPTORS_OF_A_CHILD)


def oom_kills(root: Path = Path("/")) -> int:
    """How often the kernel's memory killer has struck in this process's control group.

    Where the group's files cannot be read it counts the whole machine; 0 where nothing tells.
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
    """Where the control group of this process counts, version 1 before version 2."""
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
