"""The doctor's report as text, as JSON and for pytest's header; pure functions."""

from __future__ import annotations

__all__ = ["SCHEMA_VERSION", "header_lines", "render_json", "render_text"]

import contextlib
import textwrap
from collections.abc import Iterator

import msgspec

from amx_suite.core.health import Health
from amx_suite.errors import UsageError
from amx_suite.host.facts import HostFacts
from amx_suite.host.fingerprint import host_traits, machine_id
from amx_suite.host.health_rules import judge_health
from amx_suite.host.instance import choose_instance
from amx_suite.host.reasons import Support
from amx_suite.tmul.tile_probe import TileStatus
from amx_suite.tmul.xcomp import QUESTIONS, XTILECFG, XTILEDATA

#: Increase it when the meaning or layout of the JSON changes.
SCHEMA_VERSION = 1


def render_json(facts: HostFacts, support: Support, health: Health) -> str:
    """The report as indented JSON; ``facts`` reads back as HostFacts."""
    report = {
        "usable": support.usable,
        "reason": support.reason,
        "explanation": support.explanation,
        "machine_id": machine_id(host_traits(facts)),
        "findings": support.findings,
        "health": {"findings": judge_health(health), "reading": health},
        "facts": facts,
        "schema_version": SCHEMA_VERSION,
    }
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode()


def render_text(facts: HostFacts, support: Support, health: Health) -> str:
    """The verdict, every finding with its code and remedy, then the main facts."""
    verdict = "usable on this machine." if support.usable else "not usable on this machine: "
    lines = [f"AMX is {verdict}{support.reason or ''}", ""]
    for finding in support.findings:
        kind = "" if finding.blocking else "note "
        lines += _wrap(f"  {kind}[{finding.reason}] {finding.message}", 4)
        if finding.remedy:
            lines += _wrap(f"    What to do: {finding.remedy}", 4)
        lines.append("")
    lines.append("Observed:")
    observed = [*_observed(facts), *(("health", str(found)) for found in judge_health(health))]
    for label, value in observed:
        lines += _wrap(f"  {label:<13}{value}", 15)
    return "\n".join(lines)


def header_lines(facts: HostFacts, support: Support) -> list[str]:
    """Two lines for pytest's header: the verdict, and the host."""
    kind = f"{facts.cpuid.hypervisor} guest" if facts.cpuid.virtual else "bare metal"
    cause = support.root_cause
    verdict = f"not usable [{cause.reason}]: {cause.message}" if cause else "usable"
    host = (
        f"{facts.cpu_name}, {_counts(facts)}, {kind}, kernel {facts.kernel_release}, "
        f"machine {machine_id(host_traits(facts))}"
    )
    return [f"AMX: {verdict}", f"host: {host}"]


def _wrap(text: str, indent: int) -> list[str]:
    # Unbroken, so that commands and options can be copied.
    return textwrap.wrap(
        text,
        100,
        subsequent_indent=" " * indent,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _observed(facts: HostFacts) -> Iterator[tuple[str, str]]:
    """The facts by which a reader can check the verdict, as (label, value)."""
    cpuid, permission, tiles = facts.cpuid, facts.permission, facts.tiles
    yield "CPU", facts.cpu_name
    if facts.cpuinfo.microcode:
        yield "microcode", facts.cpuinfo.microcode
    yield "CPUs", _counts(facts)
    for difference in _differences(facts):
        yield "not used", difference
    with contextlib.suppress(UsageError):
        yield "instance", str(choose_instance(facts.topology, facts.limits))
    if cpuid.leaves:
        yield "AMX features", ", ".join(cpuid.amx_features) or "none"
        yield "hypervisor", cpuid.hypervisor or "none"
        states = (("XTILECFG", XTILECFG), ("XTILEDATA", XTILEDATA))
        on = [f"{name} {'on' if (cpuid.xcr0 or 0) >> bit & 1 else 'off'}" for name, bit in states]
        yield "XCR0", f"{cpuid.xcr0_text} ({', '.join(on)})"
    yield "kernel", f"{facts.system} {facts.kernel_release} {facts.machine}"
    if facts.runtimes:
        yield "container", ", ".join(facts.runtimes)
    if permission is not None:
        yield "permission", ", ".join(f"{name} {getattr(permission, name)}" for name in QUESTIONS)
        right = sum(tile.status is TileStatus.OK for tile in tiles or ())
        yield "tile run", "not tried" if tiles is None else f"right on {right} of {len(tiles)} CPUs"
    for name, value in sorted(facts.environment.items()):
        yield "environment", f"{name}={value}"
    yield "machine id", machine_id(host_traits(facts))


def _differences(facts: HostFacts) -> Iterator[str]:
    """What the machine has and this process may not use, with the reason."""
    topology, limits = facts.topology, facts.limits
    if topology.online > len(topology.cpus):
        left_out = topology.online - len(topology.cpus)
        yield f"{left_out} of {topology.online} online CPUs, by affinity or a cpuset"
    if topology.offline:
        yield f"{topology.offline} CPUs, which are offline"
    if topology.memory_nodes:
        nodes = ", ".join(map(str, topology.memory_nodes))
        yield f"NUMA nodes {nodes} for computing, as they have memory only"
    if limits.cpus is not None:
        yield f"more than the time of {limits.cpus:g} CPUs, by the CPU quota of a control group"
    if limits.memory_bytes is not None:
        yield f"more than {limits.memory_bytes / 2**30:.1f} GiB of memory, by a control group"
    nodes_of_cpus = [node for node in topology.nodes if node >= 0]
    closed = [str(n) for n in nodes_of_cpus if limits.memory_nodes and n not in limits.memory_nodes]
    if closed:
        yield f"the memory of NUMA nodes {', '.join(closed)}, by a cpuset"


def _counts(facts: HostFacts) -> str:
    topology = facts.topology
    cpus, cores, nodes = len(topology.cpus), len(topology.cores), len(topology.nodes)
    return f"{cpus} CPUs on {cores} cores in {nodes} NUMA node{'' if nodes == 1 else 's'}"
