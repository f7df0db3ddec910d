"""The control groups that hold this process.

Sources: Linux Documentation, admin-guide/cgroup-v2.rst and cgroup-v1/; proc_pid_mountinfo(5).
"""

from __future__ import annotations

__all__ = ["Group", "groups"]

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from amx_suite.files import text_of


class Group(NamedTuple):
    """One folder of a control group that holds this process."""

    folder: Path
    version: int


def groups(controller: str, root: Path = Path("/")) -> Iterator[Group]:
    """The folders of the controller's group of this process, then of all groups above it."""
    for line in text_of(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        names, _, path = rest.partition(":")
        version = 2 if (number, names) == ("0", "") else 1
        if version == 1 and controller not in names.split(","):
            continue
        for mount, top in _mounts(controller, version, root):
            # What is mounted may itself be a group below the top, as in a container.
            inside = path.removeprefix(top.rstrip("/")) if path.startswith(top) else ""
            parts = [part for part in inside.split("/") if part not in ("", "..")]
            for depth in range(len(parts), -1, -1):
                yield Group(mount.joinpath(*parts[:depth]), version)


def _mounts(controller: str, version: int, root: Path) -> Iterator[tuple[Path, str]]:
    """Where the controller's hierarchy is mounted, and which of its groups is."""
    for line in text_of(root / "proc/self/mountinfo").splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) < 5 or len(kind) < 3:
            continue
        if version == 2:
            wanted = kind[0] == "cgroup2"
        else:
            wanted = kind[0] == "cgroup" and controller in kind[2].split(",")
        if wanted:
            yield root / fields[4].lstrip("/"), fields[3]
