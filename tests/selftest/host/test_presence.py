"""The presence checks pass on good hosts and complain of each known defect."""

from __future__ import annotations

import os
from typing import Any

import pytest
from recorded_hosts import changed, host, hosts

from amx_suite.host import presence
from amx_suite.host.cpuid import Cpuid
from amx_suite.host.permission import Permission
from amx_suite.tmul.tile_probe import TileResult, TileStatus

pytestmark = pytest.mark.selftest

GOOD = [each.name for each in hosts() if each.expected.reason is None]
SPR = host("sapphire-rapids").facts


def _leaf(name: str, **registers: int) -> Cpuid:
    """Sapphire Rapids with some registers of a leaf replaced."""
    return changed(SPR, {"cpuid": {"leaves": {name: registers}}}).cpuid


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
    ("cpuid", "expected"),
    [
        (_leaf("1D.0", eax=0), "CPUID 1D.0 reports no palette"),
        (_leaf("1D.1", eax=0x04001000), "CPUID 1D.1 is 0x4001000, 0x80040, 0x10, expected 0x4002"),
        (_leaf("1D.1", ebx=0x00040040), "CPUID 1D.1 is 0x4002000, 0x40040, 0x10, expected"),
        (_leaf("1D.1", ecx=8), "CPUID 1D.1 is 0x4002000, 0x80040, 0x8, expected"),
        (_leaf("1E.0", ebx=0x4020), "CPUID 1E.0 EBX is 0x4020, expected 0x4010"),
    ],
)
def test_a_palette_with_other_limits_is_a_fault(cpuid: Cpuid, expected: str) -> None:
    (fault,) = presence.palette_faults(cpuid)
    assert fault.startswith(expected)


@pytest.mark.parametrize(
    "cpuid",
    [
        changed(SPR, {"cpuid": {"xcr0": 0x202E7}}).cpuid,
        changed(SPR, {"cpuid": {"xcr0": None}}).cpuid,
        _leaf("D.0", eax=0x2E7),
        _leaf("D.12", eax=4096),
        _leaf("D.11", eax=0),
    ],
)
def test_a_wrong_tile_state_is_a_fault(cpuid: Cpuid) -> None:
    assert len(presence.state_faults(cpuid)) == 1


def test_one_cpu_unlike_the_others_is_named() -> None:
    another_apic_id = _leaf("1.0", ebx=0x07800800)
    assert presence.cpu_differences({0: SPR.cpuid, 1: another_apic_id}) == []
    odd_leaf = _leaf("1D.1", ecx=0)
    (fault,) = presence.cpu_differences({0: SPR.cpuid, 1: SPR.cpuid, 2: odd_leaf})
    assert fault == "CPU 2 answers CPUID 1D.1 unlike CPU 0"
    other_state = changed(SPR, {"cpuid": {"xcr0": 0x2E7}}).cpuid
    (fault,) = presence.cpu_differences({4: SPR.cpuid, 7: other_state})
    assert fault == "CPU 7 has XCR0 0x2e7, CPU 4 has 0x602e7"


@pytest.mark.parametrize(
    ("question", "answer", "complaint"),
    [
        ("supported", {"value": 0x2E7}, "ARCH_GET_XCOMP_SUPP"),
        ("before", {"value": 0x602E7}, "before it has asked"),
        ("request", {"value": None, "errno": "EPERM"}, "EPERM"),
        ("after", {"value": 0x202E7}, "afterwards"),
    ],
)
def test_a_wrong_kernel_answer_is_a_fault(
    question: str, answer: dict[str, Any], complaint: str
) -> None:
    broken = changed(SPR, {"permission": {question: answer}}).permission
    assert broken is not None
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
    as_guest = {"cpuinfo": {"flags": [*SPR.cpuinfo.flags, "hypervisor"]}}
    (fault,) = presence.agreement_faults(changed(SPR, as_guest))
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
