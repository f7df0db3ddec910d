"""Where this process's threads run and its memory lies, and how each thread keeps its core.

Sources: proc_pid_stat(5), proc_pid_numa_maps(5), Linux Documentation/scheduler/sched-stats.rst.
"""

from __future__ import annotations

__all__ = ["Pins", "memory_share", "node_of", "speculation", "thread_cpus", "thread_seconds"]

import contextlib
import os
import re
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_TASKS = Path("/proc/self/task")
#: Threads that used less than this share of a step's time do not compute.
_LEAST_SHARE = 0.1


def thread_seconds(tasks: Path = _TASKS) -> dict[int, float]:
    """CPU seconds that each thread of this process has used, by thread id."""
    found: dict[int, float] = {}
    for task in tasks.iterdir():
        with contextlib.suppress(OSError, ValueError, IndexError):  # a thread that has just ended
            found[int(task.name)] = int((task / "schedstat").read_text().split()[0]) * 1e-9
    return found


def thread_cpus(threads: Sequence[int], tasks: Path = _TASKS) -> tuple[int, ...]:
    """The CPU that each of the threads ran on last; a thread that has ended is left out."""
    found: list[int] = []
    for thread in threads:
        with contextlib.suppress(OSError):
            # Field 39, counted from behind the name, which may hold blanks and brackets.
            fields = (tasks / str(thread) / "stat").read_text().rpartition(")")[2].split()
            found.append(int(fields[36]))
    return tuple(found)


class Pins:
    """Keeps each compute thread of this process on a CPU of its own while a step runs.

    ``cpus`` are the CPUs of the process, one for each compute thread. Which threads compute is
    learnt from a step: ``learn`` takes the threads' seconds before and after it.
    """

    def __init__(self, cpus: Sequence[int]) -> None:
        self.cpus = tuple(cpus)
        self.threads: tuple[int, ...] = ()

    def learn(self, before: Mapping[int, float], after: Mapping[int, float]) -> None:
        """Note the threads that computed meanwhile, this one first, then the busiest."""
        used = {thread: seconds - before.get(thread, 0.0) for thread, seconds in after.items()}
        own, most = threading.get_native_id(), max(used.values(), default=0.0)
        others = [
            thread
            for thread in sorted(used, key=lambda thread: -used[thread])
            if thread != own and used[thread] >= _LEAST_SHARE * most
        ]
        self.threads = (own, *others)[: len(self.cpus)]

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Pin the threads; afterwards this one may run on all CPUs again.

        What it starts, a compiler say, would otherwise have to share its one CPU.
        """
        for thread, cpu in zip(self.threads, self.cpus, strict=False):
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(thread, {cpu})
        try:
            yield
        finally:
            if self.threads:
                os.sched_setaffinity(0, self.cpus)


def node_of(cpus: Sequence[int], system: Path = Path("/sys/devices/system/cpu")) -> int:
    """The NUMA node of the first CPU; -1 if unknown."""
    found = [path.name for cpu in cpus[:1] for path in system.glob(f"cpu{cpu}/node[0-9]*")]
    return int(found[0].removeprefix("node")) if found else -1


def memory_share(node: int, maps: Path = Path("/proc/self/numa_maps")) -> float | None:
    """Share of this process's anonymous memory that lies on the node; None if unknown."""
    there = total = 0
    with contextlib.suppress(OSError):
        for line in maps.read_text().splitlines():
            if "anon=" not in line:
                continue
            size = re.search(r"kernelpagesize_kB=(\d+)", line)
            for number, pages in re.findall(r" N(\d+)=(\d+)", line):
                kilobytes = int(pages) * int(size[1] if size else 4)
                total += kilobytes
                there += kilobytes * (int(number) == node)
    return there / total if total and node >= 0 else None


def speculation(status: Path = Path("/proc/self/status")) -> dict[str, str]:
    """What the kernel forbids this process to speculate on, by the name in /proc/PID/status.

    A system-call filter may forbid more to a jailed process than to another, and slow it.
    """
    found = re.findall(r"^(Speculation\w+):\s*(.*)$", status.read_text(), re.MULTILINE)
    return dict(found)
