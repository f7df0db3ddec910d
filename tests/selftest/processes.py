"""What became of processes that a test started."""

import contextlib
import time
from pathlib import Path


def gone(pid, seconds=5.0):
    """Whether the process ends (or is a mere zombie) within the time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state in ("Z", "X"):
            return True
        time.sleep(0.02)
    return False


def descendants(pid):
    """Process ids of all that descend from it now."""
    children = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                children.setdefault(parent, []).append(int(entry.name))
    found, todo = [], [pid]
    while todo:
        todo += (new := children.get(todo.pop(), []))
        found += new
    return found


def open_descriptors():
    return sum(1 for _ in Path("/proc/self/fd").iterdir())
