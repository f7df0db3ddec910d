"""The judgement on recorded hosts, and on hosts that lack one thing."""

from __future__ import annotations

import functools
import random
from typing import Any

import msgspec
import pytest
from recorded_hosts import RecordedHost, changed, host, hosts

from amx_suite.host.facts import HostFacts
from amx_suite.host.reasons import Reason
from amx_suite.host.support import judge
from amx_suite.tmul.tile_probe import TileStatus

pytestmark = pytest.mark.selftest

#: A JSON merge patch.
Patch = dict[str, Any]

SPR = host("sapphire-rapids").facts
RENAMED: Patch = {
    "cpuinfo": {"vendor": "AuthenticAMD", "family": 25, "model": 97, "brand": "Zen 4"},
    "kernel_release": "5.4",
}


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
    # Names and versions decide nothing.
    assert judge(changed(recorded.facts, RENAMED)) == support


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


def _without(leaf: str, register: str, bit: int) -> Patch:
    value: int = getattr(SPR.cpuid.leaf(leaf), register)
    return {"cpuid": {"leaves": {leaf: {register: value & ~(1 << bit)}}}}


def _answering(question: str, **answer: Any) -> Patch:
    return {"permission": {question: {"value": None, **answer}}}


#: Each takes one required fact away from a host, whatever else was changed before.
SPOILERS: dict[str, Patch] = {
    "system": {"system": "darwin"},
    "machine": {"machine": "aarch64"},
    "cpuid unread": {"cpuid": {"leaves": None, "error": "no memory"}},
    "no tile bit": _without("7.0", "edx", 24),
    "no bf16 bit": _without("7.0", "edx", 22),
    "no int8 bit": _without("7.0", "edx", 25),
    "no palette": {"cpuid": {"leaves": {"1D.0": {"eax": 0}}}},
    "no bytes of a tile": {"cpuid": {"leaves": {"1D.1": {"eax": 0}}}},
    "no number of tiles": {"cpuid": {"leaves": {"1D.1": {"ebx": 0}}}},
    "no XTILECFG in leaf D": _without("D.0", "eax", 17),
    "no XTILEDATA in leaf D": _without("D.0", "eax", 18),
    "XCR0 bit 17": {"cpuid": {"xcr0": 0x402E7}},
    "XCR0 bit 18": {"cpuid": {"xcr0": 0x202E7}},
    "cpuinfo flag": {"cpuinfo": {"flags": ["amx_bf16", "amx_int8"]}},
    "old kernel": _answering("supported", errno="EINVAL"),
    "filtered": _answering("supported", errno="EPERM"),
    "request refused": _answering("request", errno="EOPNOTSUPP"),
    "request invalid": _answering("request", errno="EINVAL"),
    "request unanswered": _answering("request"),
    "request killed": _answering("request", signal="SIGSEGV"),
    "small stack": _answering("request", errno="ENOSPC"),
    "not listed": {"permission": {"after": {"value": 1 << 17}}},
    "not asked": {"permission": None},
    "not tried": {"tiles": None},
    "none tried": {"tiles": []},
    **{
        f"{status} on the last CPU": {
            "tiles": [*msgspec.to_builtins(SPR.tiles)[:-1], {"cpu": 7, "status": status}]
        }
        for status in TileStatus
        if status is not TileStatus.OK
    },
}


@pytest.mark.parametrize("spoiler", SPOILERS)
def test_each_required_fact_is_required(spoiler: str) -> None:
    assert not judge(changed(SPR, SPOILERS[spoiler])).usable


@pytest.mark.parametrize("seed", range(5))
def test_more_faults_never_make_a_host_usable(seed: int) -> None:
    generator = random.Random(seed)
    for _ in range(10):
        chosen = generator.sample(sorted(SPOILERS), generator.randint(2, len(SPOILERS)))
        _require_unusable(functools.reduce(changed, map(SPOILERS.get, chosen), SPR))


def _require_unusable(facts: HostFacts) -> None:
    support = judge(facts)
    assert not support.usable
    assert support.findings[0].blocking
    reasons = [finding.reason for finding in support.findings if finding.blocking]
    assert len(reasons) == len(set(reasons))


def test_a_host_is_usable_without_cpuinfo() -> None:
    assert judge(changed(SPR, {"cpuinfo": None})).usable


def test_only_an_intel_guest_can_be_masked() -> None:
    facts = host("zen4").facts
    assert facts.cpuid.virtual
    assert judge(facts).reason is Reason.NO_SILICON
    intel = {"cpuid": {"leaves": {"0.0": msgspec.to_builtins(SPR.cpuid.leaf("0.0"))}}}
    assert judge(changed(facts, intel)).reason is Reason.HYPERVISOR_MASK


def test_a_filter_is_reported_beside_another_cause() -> None:
    facts = changed(host("guest-masked-amx").facts, _answering("request", errno="EACCES"))
    reasons = [finding.reason for finding in judge(facts).findings]
    assert reasons == [Reason.HYPERVISOR_MASK, Reason.SYSCALL_FILTERED]


def test_many_failing_cpus_are_counted() -> None:
    tiles = [{"cpu": cpu, "status": "signal", "detail": "SIGILL"} for cpu in range(16)]
    support = judge(changed(SPR, {"tiles": tiles}))
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
    support = judge(changed(SPR, {"environment": {variable: value}}))
    assert support.usable
    notes = [each.reason for each in support.findings if not each.blocking]
    assert notes == ([Reason.CAPPED_BY_ENVIRONMENT] if capped else [])
