"""An instance: where one process of a model runs."""

from __future__ import annotations

__all__ = ["Instance"]

import msgspec


class Instance(msgspec.Struct, frozen=True):
    """Physical cores of one NUMA node (-1 where unknown): one CPU, and one thread, of each."""

    cpus: tuple[int, ...]
    node: int = -1

    @property
    def cores(self) -> int:
        """The number of cores, and of compute threads."""
        return len(self.cpus)

    def __str__(self) -> str:
        node = f" of NUMA node {self.node}" if self.node >= 0 else ""
        plural = "s" * (self.cores > 1)
        return f"{self.cores} core{plural}{node}, CPU{plural} {', '.join(map(str, self.cpus))}"
