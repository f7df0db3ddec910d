"""The doctor's wording, its JSON and the header."""

from __future__ import annotations

import json

import msgspec
import pytest
from recorded_hosts import RecordedHost, host, hosts

from amx_suite.core.health import Health
from amx_suite.host.doctor import header_lines, render_json, render_text
from amx_suite.host.facts import HostFacts
from amx_suite.host.limits import Limits
from amx_suite.host.support import judge

pytestmark = pytest.mark.selftest

#: Scripts read these.
KEYS = [
    *("usable", "reason", "explanation", "machine_id", "findings", "health", "facts"),
    "schema_version",
]

every_host = pytest.mark.parametrize("recorded", hosts(), ids=lambda each: each.name)


@every_host
def test_text_header_and_json_agree(recorded: RecordedHost) -> None:
    support = judge(recorded.facts)
    text = render_text(recorded.facts, support, Health())
    verdict, machine = header_lines(recorded.facts, support)
    if support.usable:
        assert text.startswith("AMX is usable on this machine.\n")
        assert verdict.startswith("AMX: usable")
    else:
        assert text.startswith(f"AMX is not usable on this machine: {support.reason}\n")
        assert verdict.startswith(f"AMX: not usable [{support.reason}]: ")
    assert "\n" not in verdict + machine
    unwrapped = " ".join(text.split())
    for finding in support.findings:
        kind = "" if finding.blocking else "note "
        assert f"{kind}[{finding.reason}] {finding.message}" in unwrapped
        assert finding.remedy in unwrapped
    assert all(len(line) <= 100 for line in text.splitlines())
    document = json.loads(render_json(recorded.facts, support, Health()))
    assert list(document) == KEYS
    assert document["schema_version"] == 1
    assert document["usable"] is support.usable
    assert document["reason"] == recorded.expected.reason
    assert msgspec.convert(document["facts"], HostFacts) == recorded.facts


def test_the_text_shows_the_facts() -> None:
    facts = host("os-not-enabled").facts
    text = render_text(facts, judge(facts), Health())
    assert "XCR0         0x2e7 (XTILECFG off, XTILEDATA off)" in text
    assert "AMX features AMX-TILE, AMX-BF16, AMX-INT8" in text
    assert "request EOPNOTSUPP" in text
    assert "tile run     not tried" in text
    assert "8 CPUs on 4 cores in 1 NUMA node" in text


def test_the_header_names_the_host() -> None:
    facts = host("guest-masked-name").facts
    verdict, machine = header_lines(facts, judge(facts))
    assert verdict == "AMX: usable"
    assert "family 6 model 167" in machine
    assert "KVM guest" in machine
    assert "2 CPUs on 2 cores" in machine


def test_standing_findings_are_shown() -> None:
    facts = host("sapphire-rapids").facts
    support = judge(facts)
    health = Health(turbo=False, huge_pages="never", uncorrected_errors={"mc0": 1})
    text = render_text(facts, support, health)
    assert "  health       Error: uncorrected memory errors since the machine started (1)" in text
    assert "  health       Note: turbo is switched off: " in text
    assert "  health       Note: transparent huge pages are switched off: " in text
    found = json.loads(render_json(facts, support, health))["health"]
    assert [finding["severity"] for finding in found["findings"]] == ["error", "note", "note"]
    assert found["reading"]["uncorrected_errors"] == {"mc0": 1}
    assert "  health  " not in render_text(facts, support, Health()), "nothing was read"


def test_what_is_not_used_has_its_reason() -> None:
    facts = host("sapphire-rapids").facts
    used = len(facts.topology.cpus)
    topology = msgspec.structs.replace(
        facts.topology, online=used + 4, offline=2, memory_nodes=(8,)
    )
    limits = Limits(cpus=1.5, memory_bytes=4 << 30, memory_nodes=(99,))
    changed = msgspec.structs.replace(facts, topology=topology, limits=limits)
    text = " ".join(render_text(changed, judge(changed), Health()).split())
    assert f"4 of {used + 4} online CPUs, by affinity or a cpuset" in text
    assert "2 CPUs, which are offline" in text
    assert "NUMA nodes 8 for computing, as they have memory only" in text
    assert "more than the time of 1.5 CPUs, by the CPU quota" in text
    assert "more than 4.0 GiB of memory, by a control group" in text
    assert "the memory of NUMA nodes 0" in text
    plain = render_text(facts, judge(facts), Health())
    assert "not used" not in plain
    assert "instance     " in plain
