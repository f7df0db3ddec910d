"""Can AMX be used on the observed host, and if not, why? The root cause comes first.

The stages are in the order of cause and effect: without AMX in the CPU the kernel refuses too. So
only the first stage that fails is reported. The CPU's name and the kernel's version decide nothing:
guests report other names, and distributions back-port AMX support.
"""

from __future__ import annotations

__all__ = ["detect", "judge"]

import re
from collections.abc import Iterator

from amx_suite.host.facts import LIBRARY_CEILINGS, HostFacts, collect
from amx_suite.host.permission import Answer
from amx_suite.host.reasons import Reason, Support, SupportFinding
from amx_suite.tmul.tile_probe import TileResult, TileStatus

#: Errors that a system-call filter may return instead of the kernel. Sources: the default profiles
#: of Docker, Podman and systemd (EPERM, ENOSYS), LSM hooks (EACCES).
_FILTER_ERRNOS = ("EPERM", "EACCES", "ENOSYS")
_STAND_IN_KERNELS = ("gvisor", "gramine", "wsl")

#: What every CPU with AMX has.
_BASE_TYPES = ("AMX-TILE", "AMX-BF16", "AMX-INT8")

_FAILED = (TileStatus.SIGNAL, TileStatus.TIMEOUT)
_TRIED = (TileStatus.OK, TileStatus.WRONG, *_FAILED)
_MOST_CPUS_NAMED = 8


def detect() -> tuple[HostFacts, Support]:
    """Collect the facts of this host and decide; ``collect`` says how long it takes."""
    facts = collect()
    return facts, judge(facts)


def judge(facts: HostFacts) -> Support:
    """Decide whether AMX can be used on the observed host; a pure function."""
    found: list[SupportFinding] = []
    for stage in (_platform, _processor, _kernel, _filtered, _permission, _first_use):
        found = list(stage(facts))
        if found:
            break
    # A system-call filter has a cause of its own: it would block AMX next.
    if found and all(each.reason is not Reason.SYSCALL_FILTERED for each in found):
        found += _filtered(facts)
    return Support((*found, *_notes(facts)))


def _found(reason: Reason, message: str) -> SupportFinding:
    return SupportFinding(reason, message, reason.remedy, reason.blocking)


def _platform(facts: HostFacts) -> Iterator[SupportFinding]:
    if facts.system != "linux":
        yield _found(Reason.NOT_LINUX, f"This is {facts.system}; AMX is supported on Linux only.")
    elif facts.machine != "x86_64":
        yield _found(
            Reason.NOT_X86_64, f"This machine is {facts.machine}; AMX belongs to x86-64 CPUs."
        )
    elif facts.cpuid.error or not facts.cpuid.leaves:
        why = facts.cpuid.error or "nothing was read"
        yield _found(Reason.CPUID_UNREADABLE, f"CPUID could not be read: {why}.")


def _processor(facts: HostFacts) -> Iterator[SupportFinding]:
    cpuid = facts.cpuid
    features = cpuid.amx_features
    if "AMX-TILE" not in features:
        # A guest cannot tell a mask from a host without AMX, except where the vendor has none.
        if cpuid.virtual and cpuid.vendor == "GenuineIntel":
            yield _found(
                Reason.HYPERVISOR_MASK,
                f"The hypervisor ({cpuid.hypervisor}) does not show AMX to this guest (CPUID 7.0 "
                "EDX bit 24 is 0), or its host has none.",
            )
        else:
            yield _found(
                Reason.NO_SILICON,
                f"This {cpuid.vendor} CPU reports no AMX (CPUID 7.0 EDX bit 24 is 0): it has none, "
                "or the firmware keeps it off.",
            )
        return
    missing = [name for name in _BASE_TYPES if name not in features]
    if missing:
        yield _found(
            Reason.TYPES_MISSING,
            f"The CPU reports AMX-TILE without {' and '.join(missing)}, which every AMX CPU has.",
        )
    holes = []
    palette = cpuid.leaf("1D.1")
    if not (cpuid.leaf("1D.0").eax and palette.ebx >> 16 and palette.eax >> 16):
        holes.append("leaf 1D describes no tile palette")
    if not cpuid.tile_states_possible:
        holes.append("leaf D has no tile states")
    if holes:
        where = f"The hypervisor ({cpuid.hypervisor})" if cpuid.virtual else "This CPU"
        yield _found(
            Reason.INCONSISTENT_CPUID,
            f"{where} reports AMX-TILE, and yet CPUID {' and '.join(holes)}.",
        )


def _kernel(facts: HostFacts) -> Iterator[SupportFinding]:
    permission = facts.permission
    supported = permission.supported if permission else Answer()
    stand_in = [name for name in facts.runtimes if name in _STAND_IN_KERNELS]
    if supported.value is None and stand_in:
        yield _found(
            Reason.STAND_IN_KERNEL,
            f"The system calls are answered by {stand_in[0]}, which does not know the tile "
            f"permission (ARCH_GET_XCOMP_SUPP: {supported}).",
        )
    elif supported.errno == "EINVAL":
        # Such a kernel leaves XCR0 without the tile states too, so this comes before that.
        yield _found(
            Reason.KERNEL_TOO_OLD,
            "The kernel does not know the tile permission (ARCH_GET_XCOMP_SUPP: EINVAL), so it is "
            "from before Linux 5.16.",
        )
    elif not facts.cpuid.tile_states_enabled:
        yield _found(
            Reason.OS_NOT_ENABLED,
            f"The CPU has AMX, and the kernel left its state off (XCR0 bits 17 and 18 are not both "
            f"set: XCR0 is {facts.cpuid.xcr0_text}).",
        )
    elif facts.cpuinfo.flags and "amx_tile" not in facts.cpuinfo.flags:
        yield _found(
            Reason.OS_NOT_ENABLED,
            "The CPU has AMX, and the kernel was told to do without it (/proc/cpuinfo lacks "
            "amx_tile).",
        )


def _filtered(facts: HostFacts) -> Iterator[SupportFinding]:
    permission = facts.permission
    if permission is None:
        return
    for answer in (permission.supported, permission.before, permission.request):
        if answer.errno in _FILTER_ERRNOS or answer.signal == "SIGSYS":
            yield _found(
                Reason.SYSCALL_FILTERED,
                "A system-call filter, as containers and sandboxes set it, keeps this process from "
                f"asking for the tile permission ({answer}).",
            )
            return


def _permission(facts: HostFacts) -> Iterator[SupportFinding]:
    permission = facts.permission
    if permission is None:
        yield _found(Reason.PERMISSION_UNKNOWN, "The kernel was not asked for the tile permission.")
        return
    request = permission.request
    if request.errno == "ENOSPC":
        yield _found(
            Reason.SMALL_SIGALTSTACK,
            "The kernel refuses the tile permission because a thread's alternate signal stack is "
            "too small to hold the tiles (ENOSPC).",
        )
    elif request.errno:
        yield _found(
            Reason.KERNEL_REFUSES,
            f"The kernel knows AMX and refuses the tile permission ({request}).",
        )
    elif request.value is None:
        why = permission.error or f"the process that asked ended: {request}"
        yield _found(
            Reason.PERMISSION_UNKNOWN, f"Whether the kernel permits tiles is not known: {why}."
        )
    elif not permission.granted:
        yield _found(
            Reason.KERNEL_REFUSES,
            "The kernel granted the tile permission and does not list it afterwards "
            f"(ARCH_GET_XCOMP_PERM: {permission.after}).",
        )


def _first_use(facts: HostFacts) -> Iterator[SupportFinding]:
    tiles = {cpu: TileResult(cpu, TileStatus.NOT_RUN) for cpu in facts.allowed_cpus}
    tiles |= {tile.cpu: tile for tile in facts.tiles or ()}
    failed = [tile for tile in tiles.values() if tile.status in _FAILED]
    wrong = [tile for tile in tiles.values() if tile.status is TileStatus.WRONG]
    untried = [tile for tile in tiles.values() if tile.status not in _TRIED]
    if failed:
        yield _found(
            Reason.FIRST_USE_FAILS,
            f"A tile instruction ends the process or hangs on {_cpus(failed)}.",
        )
    if wrong:
        yield _found(Reason.WRONG_RESULT, f"A tile multiplication is wrong on {_cpus(wrong)}.")
    if untried or not tiles:
        where = _cpus(untried) if untried else "any CPU"
        yield _found(Reason.FIRST_USE_UNTRIED, f"No tile instruction was run on {where}.")


def _notes(facts: HostFacts) -> Iterator[SupportFinding]:
    cpuid = facts.cpuid
    extra = [name for name in cpuid.amx_features if name not in _BASE_TYPES]
    if extra:
        yield _found(Reason.EXTRA_TYPES, f"The CPU also has {', '.join(extra)}.")
    if "AMX-TILE" in cpuid.amx_features and cpuid.virtual:
        # Every CPU with AMX has subleaf 7.1, and leaf 1E with the multiplier's dimensions.
        hidden = [
            name
            for name, seen in (("7.1", cpuid.leaf("7.0").eax), ("1E", cpuid.leaf("1E.0").ebx))
            if not seen
        ]
        if hidden:
            yield _found(
                Reason.PARTIAL_MASK,
                f"The hypervisor ({cpuid.hypervisor}) shows AMX and hides CPUID leaf "
                f"{' and '.join(hidden)}.",
            )
    for name, value in sorted(facts.environment.items()):
        if re.fullmatch(LIBRARY_CEILINGS[name], value, re.IGNORECASE):
            yield _found(
                Reason.CAPPED_BY_ENVIRONMENT,
                f"{name}={value} in the environment keeps AMX from programs that read it.",
            )


def _cpus(results: list[TileResult]) -> str:
    """CPUs in words: ``2 CPUs: 0 (SIGILL), 7 (SIGILL)``."""
    named = ", ".join(f"{r.cpu} ({r.detail or r.status})" for r in results[:_MOST_CPUS_NAMED])
    more = ", ..." if len(results) > _MOST_CPUS_NAMED else ""
    return f"{len(results)} CPU{'s' if len(results) > 1 else ''}: {named}{more}"
