"""The judgement on recorded hosts, and on hosts that lack one thing."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_hosts import RecordedHost, host, hosts

from amx_suite.host.cpuid import Cpuid
from amx_suite.host.cpuinfo import CpuInfo
from amx_suite.host.facts import HostFacts
from amx_suite.host.permission import Answer
from amx_suite.host.reasons import Reason
from amx_suite.host.support import judge
from amx_suite.tmul.tile_probe import TileStatus

pytestmark = pytest.mark.selftest

GOOD = [each.name for each in hosts() if each.expected.reason is None]


@pytest.mark.parametrize("recorded", hosts(), ids=lambda each: each.name)
def test_recorded_host_gets_its_reason(recorded: RecordedHost) -> None:
    support = judge(recorded.facts)
    expected = recorded.expected
    assert support.usable == (expected.reason is None)
    assert support.reason == expected.reason
    blocking = [finding.reason for finding in support.findings if finding.blocking]
    assert blocking[1:] == list(expected.also)
    assert [each.reason for each in support.findings if not each.blocking] == list(expected.notes)
    assert all(finding.remedy for finding in support.findings if finding.blocking)
    assert bool(support.explanation) != support.usable


def test_every_reason_has_a_recorded_host() -> None:
    shown = {finding.reason for each in hosts() for finding in judge(each.facts).findings}
    assert shown == set(Reason)


def test_only_a_failing_cpu_is_defective() -> None:
    defective = {each.name for each in hosts() if judge(each.facts).defective}
    assert defective == {
        "hang-on-one-cpu",
        "sigill-on-one-cpu",
        "wrong-and-sigill",
        "wrong-on-one-cpu",
    }


def _leaf(facts: HostFacts, name: str, **registers: int) -> HostFacts:
    leaf = msgspec.structs.replace(facts.cpuid.leaf(name), **registers)
    cpuid = msgspec.structs.replace(facts.cpuid, leaves={**facts.cpuid.leaves, name: leaf})
    return msgspec.structs.replace(facts, cpuid=cpuid)


def _without_bit(name: str, register: str, bit: int) -> Callable[[HostFacts], HostFacts]:
    def change(facts: HostFacts) -> HostFacts:
        value: int = getattr(facts.cpuid.leaf(name), register)
        return _leaf(facts, name, **{register: value & ~(1 << bit)})

    return change


def _without_xcr0_bit(bit: int) -> Callable[[HostFacts], HostFacts]:
    def change(facts: HostFacts) -> HostFacts:
        xcr0 = (facts.cpuid.xcr0 or 0) & ~(1 << bit)
        return msgspec.structs.replace(facts, cpuid=msgspec.structs.replace(facts.cpuid, xcr0=xcr0))

    return change


def _without_flag(facts: HostFacts) -> HostFacts:
    flags = tuple(flag for flag in facts.cpuinfo.flags if flag != "amx_tile")
    return msgspec.structs.replace(
        facts, cpuinfo=msgspec.structs.replace(facts.cpuinfo, flags=flags)
    )


def _answering(question: str, answer: Answer) -> Callable[[HostFacts], HostFacts]:
    def change(facts: HostFacts) -> HostFacts:
        assert facts.permission is not None
        return msgspec.structs.replace(
            facts, permission=msgspec.structs.replace(facts.permission, **{question: answer})
        )

    return change


def _with_tile(status: TileStatus) -> Callable[[HostFacts], HostFacts]:
    def change(facts: HostFacts) -> HostFacts:
        assert facts.tiles is not None
        *others, last = facts.tiles
        failed = msgspec.structs.replace(last, status=status)
        return msgspec.structs.replace(facts, tiles=(*others, failed))

    return change


def _with(**changes: object) -> Callable[[HostFacts], HostFacts]:
    return lambda facts: msgspec.structs.replace(facts, **changes)


#: Each takes one required fact away from a host, whatever else was changed before.
SPOILERS: dict[str, Callable[[HostFacts], HostFacts]] = {
    "system": _with(system="darwin"),
    "machine": _with(machine="aarch64"),
    "cpuid unread": _with(cpuid=Cpuid(error="no memory")),
    "no tile bit": _without_bit("7.0", "edx", 24),
    "no bf16 bit": _without_bit("7.0", "edx", 22),
    "no int8 bit": _without_bit("7.0", "edx", 25),
    "no palette": lambda facts: _leaf(facts, "1D.0", eax=0),
    "no palette limits": lambda facts: _leaf(facts, "1D.1", eax=0, ebx=0),
    "no XTILECFG in leaf D": _without_bit("D.0", "eax", 17),
    "no XTILEDATA in leaf D": _without_bit("D.0", "eax", 18),
    "XCR0 bit 17": _without_xcr0_bit(17),
    "XCR0 bit 18": _without_xcr0_bit(18),
    "cpuinfo flag": _without_flag,
    "old kernel": _answering("supported", Answer(errno="EINVAL")),
    "filtered": _answering("supported", Answer(errno="EPERM")),
    "request refused": _answering("request", Answer(errno="EOPNOTSUPP")),
    "request invalid": _answering("request", Answer(errno="EINVAL")),
    "request unanswered": _answering("request", Answer()),
    "request killed": _answering("request", Answer(signal="SIGSEGV")),
    "small stack": _answering("request", Answer(errno="ENOSPC")),
    "not listed": _answering("after", Answer(value=1 << 17)),
    "not asked": _with(permission=None),
    "not tried": _with(tiles=None),
    "none tried": _with(tiles=()),
    **{
        f"{status} on the last CPU": _with_tile(status)
        for status in TileStatus
        if status is not TileStatus.OK
    },
}
#: These replace what others change, so they must come last.
_LAST = ("cpuid unread", "not asked", "not tried", "none tried")


@pytest.mark.parametrize("spoiler", SPOILERS)
def test_each_required_fact_is_required(spoiler: str) -> None:
    assert not judge(SPOILERS[spoiler](host("sapphire-rapids").facts)).usable


@given(st.sampled_from(GOOD), st.sets(st.sampled_from(sorted(SPOILERS)), min_size=1))
def test_more_faults_never_make_a_host_usable(name: str, spoilers: set[str]) -> None:
    facts = host(name).facts
    for spoiler in sorted(spoilers, key=lambda each: (each in _LAST, each)):
        facts = SPOILERS[spoiler](facts)
    support = judge(facts)
    assert not support.usable
    assert support.findings[0].blocking
    reasons = [finding.reason for finding in support.findings if finding.blocking]
    assert len(reasons) == len(set(reasons))


@pytest.mark.parametrize("info", [CpuInfo(), CpuInfo("AuthenticAMD", 25, 97, 2, "Zen 4", "0x1")])
@pytest.mark.parametrize("name", [each.name for each in hosts()])
def test_names_and_versions_decide_nothing(name: str, info: CpuInfo) -> None:
    facts = host(name).facts
    renamed = msgspec.structs.replace(
        facts,
        cpuinfo=msgspec.structs.replace(info, flags=facts.cpuinfo.flags),
        kernel_release="5.4",
    )
    assert judge(renamed) == judge(facts)


def test_a_host_is_usable_without_cpuinfo() -> None:
    facts = msgspec.structs.replace(host("sapphire-rapids").facts, cpuinfo=CpuInfo())
    assert judge(facts).usable


def test_only_an_intel_guest_can_be_masked() -> None:
    facts = host("zen4").facts
    assert facts.cpuid.virtual
    assert judge(facts).reason is Reason.NO_SILICON
    as_intel = _leaf(facts, "0.0", ebx=0x756E6547, ecx=0x6C65746E, edx=0x49656E69)
    assert judge(as_intel).reason is Reason.HYPERVISOR_MASK


def test_a_filter_is_reported_beside_another_cause() -> None:
    facts = _answering("request", Answer(errno="EACCES"))(host("guest-masked-amx").facts)
    reasons = [finding.reason for finding in judge(facts).findings]
    assert reasons == [Reason.HYPERVISOR_MASK, Reason.SYSCALL_FILTERED]


def test_many_failing_cpus_are_counted() -> None:
    facts = host("sapphire-rapids").facts
    assert facts.tiles is not None
    tiles = [
        msgspec.structs.replace(tile, cpu=cpu, status=TileStatus.SIGNAL, detail="SIGILL")
        for cpu, tile in enumerate(facts.tiles * 2)
    ]
    support = judge(msgspec.structs.replace(facts, tiles=tuple(tiles)))
    assert "16 CPUs: 0 (SIGILL), 1 (SIGILL)" in support.explanation
    assert "15 (SIGILL)" not in support.explanation


@pytest.mark.parametrize(
    ("variable", "value", "capped"),
    [
        ("ONEDNN_MAX_CPU_ISA", "avx512_core_bf16", True),
        ("ONEDNN_MAX_CPU_ISA", "AVX10_1_512_AMX_FP16", False),
        ("DNNL_MAX_CPU_ISA", "AVX2", True),
        ("ATEN_CPU_CAPABILITY", "avx512_bf16", True),
        ("ATEN_CPU_CAPABILITY", "amx", False),
        ("MKL_ENABLE_INSTRUCTIONS", "AVX512_E3", True),
        ("MKL_ENABLE_INSTRUCTIONS", "AVX512_E4", False),
        ("ONEDNN_MAX_CPU_ISA", "", False),
    ],
)
def test_a_cap_in_the_environment_is_a_note(variable: str, value: str, capped: bool) -> None:
    facts = msgspec.structs.replace(host("sapphire-rapids").facts, environment={variable: value})
    support = judge(facts)
    assert support.usable
    notes = [each.reason for each in support.findings if not each.blocking]
    assert notes == ([Reason.CAPPED_BY_ENVIRONMENT] if capped else [])
