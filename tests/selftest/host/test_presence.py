"""The presence checks pass on good hosts and complain of each known defect."""

from __future__ import annotations

import os

import msgspec
import pytest
from recorded_hosts import host, hosts

from amx_suite.host import presence
from amx_suite.host.cpuid import Cpuid, Registers
from amx_suite.host.permission import Answer, Permission
from amx_suite.tmul.tile_probe import TileResult, TileStatus

pytestmark = pytest.mark.selftest

GOOD = [each.name for each in hosts() if each.expected.reason is None]
SPR = host("sapphire-rapids").facts


def _cpuid(xcr0: int | None = 0x602E7, **leaves: Registers) -> Cpuid:
    """Sapphire Rapids with some leaves replaced; ``L1D_0`` stands for leaf 1D.0."""
    named = {name[1:].replace("_", "."): leaf for name, leaf in leaves.items()}
    return msgspec.structs.replace(SPR.cpuid, leaves={**SPR.cpuid.leaves, **named}, xcr0=xcr0)


@pytest.mark.parametrize("name", GOOD)
def test_good_hosts_have_no_faults(name: str) -> None:
    facts = host(name).facts
    assert facts.permission is not None
    assert facts.tiles is not None
    assert presence.palette_faults(facts.cpuid) == []
    assert presence.state_faults(facts.cpuid) == []
    assert presence.permission_faults(facts.permission) == []
    assert presence.tile_faults(facts.tiles, facts.allowed_cpus) == []
    assert presence.agreement_faults(facts) == []


@pytest.mark.parametrize(
    "cpuid",
    [
        _cpuid(L1D_0=Registers()),
        _cpuid(L1D_1=Registers(0x04001000, 0x00080040, 16)),
        _cpuid(L1D_1=Registers(0x04002000, 0x00040040, 16)),
        _cpuid(L1D_1=Registers(0x04002000, 0x00080040, 8)),
        _cpuid(L1E_0=Registers(ebx=0x4020)),
    ],
)
def test_a_palette_with_other_limits_is_a_fault(cpuid: Cpuid) -> None:
    assert len(presence.palette_faults(cpuid)) == 1


@pytest.mark.parametrize(
    "cpuid",
    [
        _cpuid(xcr0=0x202E7),
        _cpuid(xcr0=None),
        _cpuid(LD_0=Registers(eax=0x2E7)),
        _cpuid(LD_12=Registers(eax=4096)),
        _cpuid(LD_11=Registers()),
    ],
)
def test_a_wrong_tile_state_is_a_fault(cpuid: Cpuid) -> None:
    assert len(presence.state_faults(cpuid)) == 1


def test_one_cpu_unlike_the_others_is_named() -> None:
    another_apic_id = _cpuid(L1_0=Registers(eax=0x806F8, ebx=0x07800800))
    assert presence.cpu_differences({0: SPR.cpuid, 1: another_apic_id}) == []
    odd_leaf = _cpuid(L1D_1=Registers())
    (fault,) = presence.cpu_differences({0: SPR.cpuid, 1: SPR.cpuid, 2: odd_leaf})
    assert fault == "CPU 2 answers CPUID 1D.1 unlike CPU 0"
    (fault,) = presence.cpu_differences({4: SPR.cpuid, 7: _cpuid(xcr0=0x2E7)})
    assert fault == "CPU 7 has XCR0 0x2e7, CPU 4 has 0x602e7"


@pytest.mark.parametrize(
    ("question", "answer", "complaint"),
    [
        ("supported", Answer(value=0x2E7), "ARCH_GET_XCOMP_SUPP"),
        ("before", Answer(value=0x602E7), "before it has asked"),
        ("request", Answer(errno="EPERM"), "EPERM"),
        ("after", Answer(value=0x202E7), "afterwards"),
    ],
)
def test_a_wrong_kernel_answer_is_a_fault(question: str, answer: Answer, complaint: str) -> None:
    assert SPR.permission is not None
    broken = msgspec.structs.replace(SPR.permission, **{question: answer})
    (fault,) = presence.permission_faults(broken)
    assert complaint in fault


def test_a_failed_permission_child_is_a_fault() -> None:
    assert presence.permission_faults(Permission(error="no child")) == ["no child"]


def test_cpus_without_a_right_result_are_faults() -> None:
    results = [TileResult(0, TileStatus.OK), TileResult(1, TileStatus.WRONG, "why")]
    faults = ["CPU 1: wrong result (why)", "CPU 5: not run"]
    assert presence.tile_faults(results, [0, 1, 5]) == faults


def test_kernel_and_cpuid_must_agree() -> None:
    (fault,) = presence.agreement_faults(host("types-missing").facts)
    assert fault == "/proc/cpuinfo has amx_bf16 and CPUID says otherwise"
    assert len(presence.agreement_faults(host("cpuinfo-without-amx").facts)) == 3
    as_guest = msgspec.structs.replace(SPR.cpuinfo, flags=(*SPR.cpuinfo.flags, "hypervisor"))
    (fault,) = presence.agreement_faults(msgspec.structs.replace(SPR, cpuinfo=as_guest))
    assert "guest" in fault


def test_each_cpu_is_read_on_itself() -> None:
    before = os.sched_getaffinity(0)
    seen: list[set[int]] = []

    def read() -> Cpuid:
        seen.append(os.sched_getaffinity(0))
        if len(seen) > len(before):
            raise RuntimeError("no CPUID")
        return Cpuid()

    cpus = sorted(before)
    assert list(presence.read_each_cpu(cpus, read)) == cpus
    assert seen == [{cpu} for cpu in cpus]
    assert os.sched_getaffinity(0) == before
    with pytest.raises(RuntimeError, match="no CPUID"):
        presence.read_each_cpu(cpus, read)
    assert os.sched_getaffinity(0) == before
