"""What is read from /proc and /sys: CPU, topology, container hints, and all together."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from recorded_hosts import changed, host

from amx_suite.host import facts
from amx_suite.host.cpuinfo import CpuInfo, parse_cpuinfo, read_cpuinfo
from amx_suite.host.facts import HostFacts, collect
from amx_suite.host.fingerprint import host_traits, machine_id
from amx_suite.host.support import detect, judge
from amx_suite.host.topology import Cache, Core, Topology, parse_cpu_list, read_topology
from amx_suite.tmul.tile_probe import TileResult, TileStatus

pytestmark = pytest.mark.selftest

Observe = Callable[[HostFacts], None]

SPR = host("sapphire-rapids").facts
_CPUINFO = """\
processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 143
model name\t: Intel(R) Xeon(R) Platinum 8480+
stepping\t: 8
microcode\t: 0x2b0004b1
flags\t\t: fpu amx_bf16 avx512_fp16 amx_tile amx_int8

processor\t: 1
vendor_id\t: Nobody
"""


def test_cpuinfo_describes_the_first_processor() -> None:
    assert parse_cpuinfo(_CPUINFO.splitlines(keepends=True)) == CpuInfo(
        vendor="GenuineIntel",
        family=6,
        model=143,
        stepping=8,
        brand="Intel(R) Xeon(R) Platinum 8480+",
        microcode="0x2b0004b1",
        flags=("fpu", "amx_bf16", "avx512_fp16", "amx_tile", "amx_int8"),
    )


def test_cpuinfo_without_x86_fields_is_empty(tmp_path: Path) -> None:
    arm = "processor\t: 0\nBogoMIPS\t: 50.00\nFeatures\t: fp asimd\nCPU implementer\t: 0x41\n"
    assert parse_cpuinfo(arm.splitlines()) == CpuInfo()
    assert read_cpuinfo(tmp_path / "absent") == CpuInfo()


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("0", (0,)),
        ("0-3,8", (0, 1, 2, 3, 8)),
        ("0,56\n", (0, 56)),
        ("", ()),
        ("none", ()),
        ("3-", ()),
    ],
)
def test_cpu_lists(text: str, cpus: tuple[int, ...]) -> None:
    assert parse_cpu_list(text) == cpus


def _write(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")


def _two_socket_tree(root: Path) -> None:
    """Two packages of two cores with two threads each; CPU n and n+4 are siblings."""
    for cpu in range(8):
        folder = f"sys/devices/system/cpu/cpu{cpu}"
        core = cpu % 4
        _write(
            root,
            {
                f"{folder}/topology/thread_siblings_list": f"{core},{core + 4}",
                f"{folder}/topology/physical_package_id": str(core // 2),
                f"{folder}/cache/index0/level": "1",
                f"{folder}/cache/index0/type": "Data",
                f"{folder}/cache/index0/size": "48K",
                f"{folder}/cache/index0/shared_cpu_list": f"{core},{core + 4}",
                f"{folder}/cache/index1/level": "3",
                f"{folder}/cache/index1/type": "Unified",
                f"{folder}/cache/index1/size": "105M",
                f"{folder}/cache/index1/shared_cpu_list": "0-1,4-5",
            },
        )
    _write(
        root,
        {
            "sys/devices/system/node/node0/cpulist": "0-1,4-5",
            "sys/devices/system/node/node1/cpulist": "2-3,6-7",
            "proc/meminfo": "MemTotal:       527958016 kB\nMemFree:  1 kB",
        },
    )


def test_topology_of_a_two_socket_machine(tmp_path: Path) -> None:
    _two_socket_tree(tmp_path)
    topology = read_topology(range(8), root=tmp_path)
    assert topology.cores == (
        Core((0, 4), (0, 4), 0, 0),
        Core((1, 5), (1, 5), 0, 0),
        Core((2, 6), (2, 6), 1, 1),
        Core((3, 7), (3, 7), 1, 1),
    )
    assert topology.caches == (
        Cache(1, "data", 48 << 10, 2),
        Cache(3, "unified", 105 << 20, 4),
    )
    assert topology.memory_bytes == 527958016 << 10
    assert topology.one_cpu_per_core == (0, 1, 2, 3)
    assert topology.cpus == tuple(range(8))
    assert topology.nodes == (0, 1)


def test_forbidden_cpus_are_siblings_only(tmp_path: Path) -> None:
    _two_socket_tree(tmp_path)
    topology = read_topology({1, 4, 5}, root=tmp_path)
    assert topology.cores == (Core((1, 5), (1, 5), 0, 0), Core((4,), (0, 4), 0, 0))
    assert topology.one_cpu_per_core == (1, 4)


def test_without_files_every_cpu_is_a_core(tmp_path: Path) -> None:
    assert read_topology([3, 1], root=tmp_path) == Topology((Core((1,), (1,)), Core((3,), (3,))))


@pytest.mark.parametrize(
    ("files", "environment", "expected"),
    [
        ({"proc/version": "Linux version 6.1.0-13-amd64"}, {}, []),
        ({"proc/version": "Linux version 4.19.0-gvisor #1 SMP"}, {}, ["gvisor"]),
        ({"proc/version": "Linux 4.4.0 #1 SMP Sun Jan 10 15:06:54 PST 2016"}, {}, ["gvisor"]),
        ({"proc/version": "Linux version 5.15.1-microsoft-standard-WSL2"}, {}, ["wsl"]),
        ({"dev/attestation/quote": ""}, {}, ["gramine"]),
        ({".dockerenv": ""}, {"container": "docker"}, ["docker"]),
        (
            {"run/.containerenv": ""},
            {"KUBERNETES_SERVICE_HOST": "10.0.0.1"},
            ["podman", "kubernetes"],
        ),
        ({}, {"container": "lxc"}, ["lxc"]),
    ],
)
def test_runtime_hints(
    tmp_path: Path, files: dict[str, str], environment: dict[str, str], expected: list[str]
) -> None:
    _write(tmp_path, files)
    assert facts.runtime_hints(tmp_path, environment) == expected


@pytest.fixture
def observe(monkeypatch: pytest.MonkeyPatch) -> Observe:
    """Replace what ``collect`` reads; each tile instruction is right."""

    def put(seen: HostFacts) -> None:
        monkeypatch.setattr(sys, "platform", seen.system)
        monkeypatch.setattr(platform, "machine", lambda: seen.machine)
        monkeypatch.setattr(facts, "ask_permission", lambda: seen.permission)
        for name in ("cpuid", "cpuinfo", "topology"):
            monkeypatch.setattr(facts, f"read_{name}", lambda name=name: getattr(seen, name))
        monkeypatch.setattr(
            facts, "probe_tiles", lambda cpus: tuple(TileResult(cpu, TileStatus.OK) for cpu in cpus)
        )

    return put


def test_tiles_run_on_every_allowed_cpu(observe: Observe, monkeypatch: pytest.MonkeyPatch) -> None:
    observe(SPR)
    for name in facts.LIBRARY_CEILINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    observed, support = detect()
    assert observed.tiles is not None
    assert tuple(tile.cpu for tile in observed.tiles) == observed.allowed_cpus
    assert support.usable
    assert observed.environment == {"ONEDNN_MAX_CPU_ISA": "AVX2"}, "no other variable"


def test_no_tile_runs_without_permission(observe: Observe) -> None:
    observe(host("kernel-refuses").facts)
    assert collect().tiles is None


def test_on_another_architecture_nothing_is_asked(observe: Observe) -> None:
    observe(changed(SPR, {"machine": "aarch64"}))
    observed = collect()
    assert observed.permission is None
    assert observed.cpuid.leaves == {}


def test_this_machine_is_judged() -> None:
    observed, support = detect()
    assert set(observed.allowed_cpus) == os.sched_getaffinity(0)
    assert support == judge(observed)
    assert support.usable or support.explanation
    if observed.is_x86_64_linux:
        assert observed.permission is not None
        assert observed.permission.error == ""
        assert (observed.tiles is not None) == observed.permission.granted
    first, second = host_traits(observed), host_traits(collect())
    assert first == second
    assert platform.node() not in first.values()


@pytest.mark.parametrize(
    ("patch", "same"),
    [
        ({"cpuinfo": {"microcode": "0x2b000603"}}, False),
        ({"cpuinfo": {"stepping": 7}}, False),
        ({"cpuinfo": {"flags": ["avx512f"]}}, False),
        ({"topology": {"memory_bytes": 64 << 30}}, False),
        ({"topology": {"cores": [{"cpus": [0], "siblings": [0]}]}}, False),
        ({"topology": {"caches": []}}, False),
        ({"kernel_release": "6.9"}, False),
        ({"environment": {"X": "1"}}, True),
        ({"tiles": None, "permission": None}, True),
        ({"cpuinfo": {"flags": [*SPR.cpuinfo.flags, "xfd_new"]}}, True),
    ],
)
def test_the_id_follows_what_speed_depends_on(patch: dict[str, Any], same: bool) -> None:
    other = changed(SPR, patch)
    assert (machine_id(host_traits(other)) == machine_id(host_traits(SPR))) == same


@pytest.mark.parametrize(
    ("kib", "gib"),
    [
        (0, "0"),
        (16_300_000, "16"),
        (16_100_000, "16"),
        (527_958_016, "512"),
        (520_000_000, "512"),
        (1_056_000_000, "1024"),
    ],
)
def test_memory_is_rounded_to_what_is_installed(kib: int, gib: str) -> None:
    facts = changed(SPR, {"topology": {"memory_bytes": kib << 10}})
    assert host_traits(facts)["memory_gib"] == gib
