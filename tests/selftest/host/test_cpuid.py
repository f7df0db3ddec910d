"""Reading CPUID: which leaves are asked for, what their bits mean, and this very machine."""

from __future__ import annotations

import platform

import pytest
from recorded_hosts import host

from amx_suite.errors import AssemblyError
from amx_suite.host.cpuid import Cpuid, Registers, read_cpuid, survey
from amx_suite.host.cpuinfo import read_cpuinfo
from amx_suite.tmul import jit

pytestmark = pytest.mark.selftest

_GARBAGE = Registers(0xDEADBEEF, 0xDEADBEEF, 0xDEADBEEF, 0xDEADBEEF)


class FakeCpu:
    """Answers like a processor: leaves beyond the highest give another leaf's registers."""

    def __init__(self, leaves: dict[str, Registers]) -> None:
        self.leaves = leaves
        self.asked: list[str] = []
        self.xcr0_reads = 0

    def cpuid(self, leaf: int, subleaf: int) -> Registers:
        name = f"{leaf:X}.{subleaf:X}"
        self.asked.append(name)
        return self.leaves.get(name, _GARBAGE)

    def xcr0(self) -> int:
        self.xcr0_reads += 1
        return 0x602E7


def test_every_leaf_of_sapphire_rapids_is_read() -> None:
    leaves = host("sapphire-rapids").facts.cpuid.leaves
    cpu = FakeCpu(leaves)
    assert survey(cpu.cpuid, cpu.xcr0) == Cpuid(leaves, 0x602E7)


def test_only_existing_leaves_are_read() -> None:
    """XCR0 too: without OSXSAVE the instruction is illegal."""
    cpu = FakeCpu({"0.0": Registers(eax=0xD), "1.0": Registers(), "7.0": Registers(eax=0)})
    found = survey(cpu.cpuid, cpu.xcr0)
    assert cpu.asked == ["0.0", "1.0", "7.0", "D.0", "D.11", "D.12"]
    assert found.xcr0 is None
    assert cpu.xcr0_reads == 0


@pytest.mark.parametrize(
    ("leaf", "register", "bit", "feature"),
    [
        ("7.0", "edx", 22, "AMX-BF16"),
        ("7.0", "edx", 24, "AMX-TILE"),
        ("7.0", "edx", 25, "AMX-INT8"),
        ("7.1", "eax", 21, "AMX-FP16"),
        ("7.1", "edx", 8, "AMX-COMPLEX"),
        ("1E.1", "eax", 4, "AMX-FP8"),
        ("1E.1", "eax", 7, "AMX-AVX512"),
        ("1E.1", "eax", 8, "AMX-MOVRS"),
    ],
)
def test_each_feature_is_one_bit(leaf: str, register: str, bit: int, feature: str) -> None:
    assert Cpuid({leaf: Registers(**{register: 1 << bit})}).amx_features == (feature,)
    everything_else = Registers(**{register: 0xFFFFFFFF & ~(1 << bit)})
    assert feature not in Cpuid({leaf: everything_else}).amx_features


@pytest.mark.parametrize(
    ("signature", "name"),
    [
        (b"KVMKVMKVM\0\0\0", "KVM"),
        (b"Microsoft Hv", "Hyper-V"),
        (b"SomethingNew", "SomethingNew"),
        (bytes(12), "unknown"),
    ],
)
def test_hypervisors_are_named(signature: bytes, name: str) -> None:
    ebx, ecx, edx = (int.from_bytes(signature[i : i + 4], "little") for i in (0, 4, 8))
    leaf = Registers(0, ebx, ecx, edx)
    guest = {"1.0": Registers(ecx=1 << 31), "40000000.0": leaf}
    assert Cpuid(guest).hypervisor == name
    assert Cpuid({"40000000.0": leaf}).hypervisor == ""


@pytest.mark.parametrize("bit", [17, 18])
def test_one_tile_state_alone_is_not_enough(bit: int) -> None:
    assert not Cpuid({"D.0": Registers(eax=1 << bit)}, 1 << bit).tile_states_enabled
    assert not Cpuid({"D.0": Registers(eax=1 << bit)}, 1 << bit).tile_states_possible
    both = 3 << 17
    assert Cpuid({"D.0": Registers(eax=both)}, both).tile_states_enabled
    assert Cpuid({"D.0": Registers(eax=both)}, both).tile_states_possible


@pytest.mark.skipif(platform.machine() != "x86_64", reason="reads an x86-64 CPU")
def test_this_machine_agrees_with_its_kernel() -> None:
    cpuid, info = read_cpuid(), read_cpuinfo()
    assert cpuid.error == ""
    assert cpuid.vendor == info.vendor
    # The signature's fields (SDM volume 2A, leaf 1 EAX) against the kernel's own decoding.
    signature = cpuid.leaf("1.0").eax
    family, model = signature >> 8 & 0xF, signature >> 4 & 0xF
    if family in (6, 15):
        model |= (signature >> 16 & 0xF) << 4
    if family == 15:
        family += signature >> 20 & 0xFF
    assert (family, model, signature & 0xF) == (info.family, info.model, info.stepping)
    assert cpuid.virtual == ("hypervisor" in info.flags)
    assert ("avx512f" in info.flags) <= cpuid.has(("7.0", "ebx", 16))
    assert cpuid.xcr0 is not None
    assert cpuid.xcr0 & 0b11 == 0b11


def test_without_cpuid_the_error_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssemblyError("this machine is aarch64")

    monkeypatch.setattr(jit, "assemble", refuse)
    assert read_cpuid() == Cpuid(error="this machine is aarch64")
