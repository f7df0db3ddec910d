"""The traits that make two measurements comparable, and a short machine id made of them.

They hold nothing volatile: no clock frequency, load, free memory, host name or CPU number.
"""

from __future__ import annotations

__all__ = ["host_traits", "machine_id"]

import hashlib
import json
from collections.abc import Mapping

from amx_suite.host.facts import HostFacts
from amx_suite.host.topology import Cache

#: Families of instruction-set flags on which libraries choose kernels.
_FLAG_FAMILIES = ("amx", "avx", "f16c", "fma")
_ID_LENGTH = 12
_GIB = 1 << 30


def host_traits(facts: HostFacts) -> dict[str, str]:
    """The traits of a host by name, as text; the same host gives the same traits."""
    info, topology = facts.cpuinfo, facts.topology
    return {
        "cpu_vendor": info.vendor or facts.cpuid.vendor,
        "cpu_brand": info.brand,
        "cpu_family": str(info.family),
        "cpu_model": str(info.model),
        "cpu_stepping": str(info.stepping),
        "microcode": info.microcode,
        "isa_flags": " ".join(sorted(f for f in info.flags if f.startswith(_FLAG_FAMILIES))),
        "amx_features": " ".join(facts.cpuid.amx_features),
        "hypervisor": facts.cpuid.hypervisor or "none",
        "kernel": facts.kernel_release,
        "cores": str(len(topology.cores)),
        "cpus": str(len(topology.cpus)),
        "numa_nodes": str(len(topology.nodes)),
        "caches": ", ".join(_describe(cache) for cache in topology.caches),
        "memory_gib": str(_round_memory_gib(topology.memory_bytes)),
    }


def machine_id(traits: Mapping[str, str]) -> str:
    """12 hexadecimal digits that depend on every trait and on nothing else."""
    text = json.dumps(dict(traits), sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()[:_ID_LENGTH]


def _describe(cache: Cache) -> str:
    kind = {"data": "d", "instruction": "i"}.get(cache.kind, "")
    return f"L{cache.level}{kind} {cache.size_bytes >> 10} KiB"


def _round_memory_gib(size_bytes: int) -> int:
    """Rounded up to an eighth of its power of two.

    The kernel reserves a part that changes from boot to boot; 512 GiB must stay 512 GiB.
    """
    gib = -(-size_bytes // _GIB)
    step = max(1, (1 << gib.bit_length()) // 16)
    return -(-gib // step) * step
