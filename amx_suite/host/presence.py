"""The checks behind "AMX is present"; each returns its faults as sentences.

They are stricter than ``judge``, which decides whether AMX can be used: they read every CPU and
compare every number that Intel fixes.
"""

from __future__ import annotations

__all__ = [
    "agreement_faults",
    "cpu_differences",
    "palette_faults",
    "permission_faults",
    "read_each_cpu",
    "state_faults",
    "tile_faults",
]

import os
from collections.abc import Callable, Iterable, Mapping, Sequence

from amx_suite.host.cpuid import Cpuid, read_cpuid
from amx_suite.host.facts import HostFacts
from amx_suite.host.permission import Permission
from amx_suite.tmul.tile_probe import TileResult, TileStatus
from amx_suite.tmul.xcomp import XTILEDATA

#: Intel SDM volume 2A, CPUID leaf 1D subleaf 1, EAX, EBX and the low half of ECX: a tile of 1024
#: bytes in 8192, 8 tiles of rows of 64 bytes, 16 rows.
_PALETTE_1 = (0x04002000, 0x00080040, 0x10)
#: Leaf 1E EBX: 16 rows of B, 64 bytes in a row of C.
_TMUL_DIMENSIONS = 0x4010
#: Bytes that XSAVE keeps of each tile state (leaf D, subleaves 17 and 18, EAX).
_STATE_BYTES = {"D.11": ("XTILECFG", 64), "D.12": ("XTILEDATA", 8192)}

#: Leaves that hold the same on every CPU; leaf 1 names the CPU itself, and leaf D.0 EBX follows
#: what is enabled at the moment.
_COMMON_LEAVES = ("7.0", "7.1", "D.11", "D.12", "1D.0", "1D.1", "1E.0", "1E.1")
_CPUINFO_FLAGS = {"amx_tile": "AMX-TILE", "amx_bf16": "AMX-BF16", "amx_int8": "AMX-INT8"}


def read_each_cpu(cpus: Iterable[int], read: Callable[[], Cpuid] = read_cpuid) -> dict[int, Cpuid]:
    """CPUID and XCR0 of each CPU; moves this thread to each CPU and back.

    Raises OSError for a CPU that this process may not use.
    """
    before = os.sched_getaffinity(0)
    found = {}
    try:
        for cpu in cpus:
            os.sched_setaffinity(0, {cpu})
            found[cpu] = read()
    finally:
        os.sched_setaffinity(0, before)
    return found


def cpu_differences(by_cpu: Mapping[int, Cpuid]) -> list[str]:
    """CPUs that report AMX, or have its state enabled, unlike the first one."""
    faults = []
    first = min(by_cpu)
    reference = by_cpu[first]
    for cpu, cpuid in by_cpu.items():
        unlike = [x for x in _COMMON_LEAVES if cpuid.leaf(x) != reference.leaf(x)]
        if unlike:
            faults.append(f"CPU {cpu} answers CPUID {', '.join(unlike)} unlike CPU {first}")
        if cpuid.xcr0 != reference.xcr0:
            faults.append(
                f"CPU {cpu} has XCR0 {cpuid.xcr0_text}, CPU {first} has {reference.xcr0_text}"
            )
    return faults


def palette_faults(cpuid: Cpuid) -> list[str]:
    """Limits of the tiles that differ from what Intel fixes for palette 1."""
    faults = []
    if not cpuid.leaf("1D.0").eax:
        faults.append("CPUID 1D.0 reports no palette")
    leaf = cpuid.leaf("1D.1")
    palette = (leaf.eax, leaf.ebx, leaf.ecx & 0xFFFF)
    if palette != _PALETTE_1:
        faults.append(f"CPUID 1D.1 is {_hexadecimal(palette)}, expected {_hexadecimal(_PALETTE_1)}")
    dimensions = cpuid.leaf("1E.0").ebx
    # A hidden leaf is a note of ``judge``; only a wrong value is a fault.
    if dimensions not in (0, _TMUL_DIMENSIONS):
        faults.append(f"CPUID 1E.0 EBX is {dimensions:#x}, expected {_TMUL_DIMENSIONS:#x}")
    return faults


def state_faults(cpuid: Cpuid) -> list[str]:
    """Tile states that are not possible, not enabled, or not of the size that Intel fixes."""
    faults = []
    if not cpuid.tile_states_possible:
        faults.append("CPUID D.0 EAX lacks bits 17 and 18: the tile states cannot be saved")
    if not cpuid.tile_states_enabled:
        faults.append(f"XCR0 is {cpuid.xcr0_text}: bits 17 and 18 are not both set")
    for leaf, (name, expected) in _STATE_BYTES.items():
        size = cpuid.leaf(leaf).eax
        if size != expected:
            faults.append(f"{name} takes {size} bytes by CPUID {leaf}, expected {expected}")
    return faults


def permission_faults(permission: Permission) -> list[str]:
    """Departures from the kernel's contract (Documentation/arch/x86/xstate.rst)."""
    if permission.error:
        return [permission.error]
    faults = []
    if not permission.supported.has_tiles:
        faults.append(f"ARCH_GET_XCOMP_SUPP is {permission.supported}, without XTILEDATA")
    if permission.before.has_tiles:
        faults.append("a fresh process holds the tile permission before it has asked")
    if permission.request.value is None:
        faults.append(f"ARCH_REQ_XCOMP_PERM({XTILEDATA}): {permission.request}")
    if not permission.after.has_tiles:
        faults.append(f"ARCH_GET_XCOMP_PERM is {permission.after} afterwards, without XTILEDATA")
    return faults


def tile_faults(results: Sequence[TileResult], cpus: Iterable[int]) -> list[str]:
    """CPUs on which the tile multiplication did not come out right, or was not run."""
    tiles = {cpu: TileResult(cpu, TileStatus.NOT_RUN) for cpu in cpus}
    tiles |= {result.cpu: result for result in results}
    return [
        f"CPU {tile.cpu}: {tile.status}" + f" ({tile.detail})" * bool(tile.detail)
        for tile in tiles.values()
        if tile.status is not TileStatus.OK
    ]


def agreement_faults(facts: HostFacts) -> list[str]:
    """Contradictions between what the CPU, or its hypervisor, says and what the kernel says."""
    faults = []
    flags, features = facts.cpuinfo.flags, facts.cpuid.amx_features
    for flag, feature in _CPUINFO_FLAGS.items():
        if (flag in flags) != (feature in features):
            said = "has" if flag in flags else "lacks"
            faults.append(f"/proc/cpuinfo {said} {flag} and CPUID says otherwise")
    if ("hypervisor" in flags) != facts.cpuid.virtual:
        faults.append("/proc/cpuinfo and CPUID 1.0 ECX bit 31 differ on whether this is a guest")
    return faults


def _hexadecimal(registers: tuple[int, ...]) -> str:
    return ", ".join(map(hex, registers))
