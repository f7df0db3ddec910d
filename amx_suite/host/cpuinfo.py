"""The first processor of /proc/cpuinfo: how the kernel describes the CPU."""

from __future__ import annotations

__all__ = ["CpuInfo", "parse_cpuinfo", "read_cpuinfo"]

import itertools
from collections.abc import Iterable
from pathlib import Path

import msgspec


class CpuInfo(msgspec.Struct, frozen=True):
    """The kernel's description of the first CPU; empty or -1 where a field is missing.

    The names are for people and decide nothing.
    """

    vendor: str = ""
    family: int = -1
    model: int = -1
    stepping: int = -1
    brand: str = ""
    microcode: str = ""
    flags: tuple[str, ...] = ()


def parse_cpuinfo(lines: Iterable[str]) -> CpuInfo:
    """Read the first processor, which ends at the first blank line."""
    first = itertools.takewhile(str.strip, lines)
    fields = {name.strip(): value.strip() for name, _, value in (x.partition(":") for x in first)}

    def number(name: str) -> int:
        value = fields.get(name, "")
        return int(value) if value.isdecimal() else -1

    return CpuInfo(
        vendor=fields.get("vendor_id", ""),
        family=number("cpu family"),
        model=number("model"),
        stepping=number("stepping"),
        brand=fields.get("model name", ""),
        microcode=fields.get("microcode", ""),
        flags=tuple(fields.get("flags", "").split()),
    )


def read_cpuinfo(path: Path = Path("/proc/cpuinfo")) -> CpuInfo:
    """Read this machine's; an empty CpuInfo where the file cannot be read."""
    try:
        with path.open(encoding="utf-8", errors="replace") as lines:
            return parse_cpuinfo(lines)
    except OSError:
        return CpuInfo()
