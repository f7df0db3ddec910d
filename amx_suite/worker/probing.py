"""Which units a child can read here, and the probe that reads them."""

from __future__ import annotations

__all__ = ["open_probe"]

from collections.abc import Sequence

from amx_suite.core.noise import Unit
from amx_suite.host.cpuinfo import read_cpuinfo
from amx_suite.tmul.loops import fma_loop, memory_loop, tile_loop
from amx_suite.tmul.probe import MakeLoop, Probe
from amx_suite.tmul.xcomp import request_tiles


def open_probe(cpus: Sequence[int]) -> Probe:
    """A probe of every unit that the CPU has and the kernel permits to this process.

    Tiles are read only where the kernel grants the permission, so never in a jailed child.
    """
    flags = read_cpuinfo().flags
    loops: dict[Unit, MakeLoop] = {Unit.MEMORY: memory_loop}
    if "avx512f" in flags:
        loops[Unit.FMA] = fma_loop
    if {"amx_tile", "amx_bf16"} <= set(flags) and request_tiles().value is not None:
        loops[Unit.TILE] = tile_loop
    return Probe(cpus, loops)
