"""Everything observed on a host, before any decision."""

from __future__ import annotations

__all__ = ["LIBRARY_CEILINGS", "HostFacts", "collect"]

import os
import platform
import sys
from collections.abc import Mapping
from pathlib import Path

import msgspec

from amx_suite.host.cpuid import Cpuid, read_cpuid
from amx_suite.host.cpuinfo import CpuInfo, read_cpuinfo
from amx_suite.host.limits import Limits, read_limits
from amx_suite.host.permission import Permission, ask_permission
from amx_suite.host.topology import Topology, read_topology
from amx_suite.tmul.tile_probe import TileResult, probe_tiles

#: Variables that lower a library's own ceiling, and the values that keep AMX off. Sources: oneDNN
#: dispatcher_control.md, ATen and IPEX (csrc/cpu/dyndisp), oneMKL developer guide.
LIBRARY_CEILINGS = {
    "ONEDNN_MAX_CPU_ISA": r"SSE41|AVX(?!.*AMX).*",
    "DNNL_MAX_CPU_ISA": r"SSE41|AVX(?!.*AMX).*",
    "ATEN_CPU_CAPABILITY": r"DEFAULT|AVX.*",
    "MKL_ENABLE_INSTRUCTIONS": r"SSE4_2|AVX(?!512_E4).*",
}

#: The build date that gVisor always reports as its kernel's (pkg/sentry/syscalls/linux).
_GVISOR_STAMP = "Sun Jan 10 15:06:54 PST 2016"


class HostFacts(msgspec.Struct, frozen=True):
    """One host as observed; ``judge`` decides.

    ``system`` is ``sys.platform`` and ``machine`` the kernel's name of the architecture.
    ``runtimes`` names containers and kernels that only stand in for Linux. ``permission`` is None
    on other systems, and ``tiles`` is None where no tile instruction was run.
    """

    system: str
    machine: str
    kernel_release: str = ""
    cpuid: Cpuid = Cpuid()
    cpuinfo: CpuInfo = CpuInfo()
    topology: Topology = Topology()
    limits: Limits = Limits()
    runtimes: tuple[str, ...] = ()
    permission: Permission | None = None
    tiles: tuple[TileResult, ...] | None = None
    environment: dict[str, str] = {}

    @property
    def is_x86_64_linux(self) -> bool:
        """Whether the system is x86-64 Linux; no other supports AMX."""
        return self.system == "linux" and self.machine == "x86_64"

    @property
    def allowed_cpus(self) -> tuple[int, ...]:
        """CPUs that this process may use."""
        return self.topology.cpus

    @property
    def cpu_name(self) -> str:
        """Brand, family, model and stepping, to be shown; they decide nothing."""
        info = self.cpuinfo
        vendor = info.vendor or self.cpuid.vendor
        if info.family < 0:
            return info.brand or vendor or self.machine
        numbers = f"family {info.family} model {info.model} stepping {info.stepping}"
        return f"{info.brand or 'unnamed CPU'} ({vendor} {numbers})"


def runtime_hints(root: Path = Path("/"), environment: Mapping[str, str] = os.environ) -> list[str]:
    """Names of the containers and stand-in kernels that left a trace here."""
    try:
        version = (root / "proc/version").read_text(encoding="utf-8", errors="replace")
    except OSError:
        version = ""
    traces = {
        "gvisor": "gvisor" in version.lower() or _GVISOR_STAMP in version,
        "wsl": "microsoft" in version.lower(),
        "gramine": (root / "dev/attestation").exists(),
        "docker": (root / ".dockerenv").exists(),
        "podman": (root / "run/.containerenv").exists(),
        "kubernetes": "KUBERNETES_SERVICE_HOST" in environment,
    }
    found = [name for name, seen in traces.items() if seen]
    # systemd's convention: the manager of a container names itself in this variable.
    named = environment.get("container", "")
    return [*found, named] if named and named not in found else found


def collect() -> HostFacts:
    """Observe this host; takes well under a second where every CPU works.

    Where CPUID can be read and the kernel grants the permission, a child process runs a tile
    instruction on every allowed CPU.
    """
    system, machine = sys.platform, platform.machine()
    facts = HostFacts(
        system=system,
        machine=machine,
        kernel_release=platform.release(),
        cpuinfo=read_cpuinfo(),
        topology=read_topology() if system == "linux" else Topology(),
        limits=read_limits() if system == "linux" else Limits(),
        runtimes=tuple(runtime_hints()),
        environment={name: os.environ[name] for name in LIBRARY_CEILINGS if name in os.environ},
    )
    if not facts.is_x86_64_linux:
        return facts
    permission, cpuid = ask_permission(), read_cpuid()
    runnable = permission.granted and not cpuid.error
    tiles = probe_tiles(facts.allowed_cpus) if runnable else None
    return msgspec.structs.replace(facts, cpuid=cpuid, permission=permission, tiles=tiles)
