"""The doctor's report as text, as JSON and for pytest's header; pure functions."""

from __future__ import annotations

__all__ = ["SCHEMA_VERSION", "header_lines", "render_json", "render_text"]

import textwrap
from collections.abc import Iterator

import msgspec

from amx_suite.host.facts import HostFacts
from amx_suite.host.fingerprint import host_traits, machine_id
from amx_suite.host.reasons import Finding, Support
from amx_suite.tmul.tile_probe import TileStatus
from amx_suite.tmul.xcomp import QUESTIONS, XTILECFG, XTILEDATA

#: Increase it when the meaning or layout of the JSON changes.
SCHEMA_VERSION = 1

_WIDTH = 100
_LABEL_WIDTH = 13


def render_json(facts: HostFacts, support: Support) -> str:
    """The report as indented JSON; ``facts`` reads back as HostFacts."""
    report = {
        "usable": support.usable,
        "reason": support.reason,
        "explanation": support.explanation,
        "machine_id": machine_id(host_traits(facts)),
        "findings": support.findings,
        "facts": facts,
        "schema_version": SCHEMA_VERSION,
    }
    return msgspec.json.format(msgspec.json.encode(report), indent=2).decode()


def render_text(facts: HostFacts, support: Support) -> str:
    """The verdict, every finding with its code and remedy, then the main facts."""
    if support.usable:
        lines = ["AMX is usable on this machine.", ""]
    else:
        lines = [f"AMX is not usable on this machine: {support.reason}", ""]
    for finding in support.findings:
        lines += _render_finding(finding)
    lines.append("Observed:")
    for label, value in _fact_lines(facts):
        lines += _wrap(f"  {label:<{_LABEL_WIDTH}}{value}", " " * (_LABEL_WIDTH + 2))
    return "\n".join(lines)


def header_lines(facts: HostFacts, support: Support) -> list[str]:
    """Two lines for pytest's header: the verdict, and the host."""
    kind = f"{facts.cpuid.hypervisor} guest" if facts.cpuid.virtual else "bare metal"
    host = (
        f"{facts.cpu_name}, {_counts(facts)}, {kind}, kernel {facts.kernel_release}, "
        f"machine {machine_id(host_traits(facts))}"
    )
    cause = support.root_cause
    verdict = f"not usable [{cause.reason}]: {cause.message}" if cause else "usable"
    return [f"AMX: {verdict}", f"host: {host}"]


def _render_finding(finding: Finding) -> Iterator[str]:
    kind = "" if finding.blocking else "note "
    yield from _wrap(f"  {kind}[{finding.reason}] {finding.message}", " " * 4)
    if finding.remedy:
        yield from _wrap(f"    What to do: {finding.remedy}", " " * 4)
    yield ""


def _wrap(text: str, indent: str) -> list[str]:
    # Unbroken, so that commands and options can be copied.
    return textwrap.wrap(
        text,
        _WIDTH,
        subsequent_indent=indent,
        break_on_hyphens=False,
        break_long_words=False,
    )


def _fact_lines(facts: HostFacts) -> Iterator[tuple[str, str]]:
    """The facts by which a reader can check the verdict, as (label, value)."""
    yield "CPU", facts.cpu_name
    if facts.cpuinfo.microcode:
        yield "microcode", facts.cpuinfo.microcode
    yield "CPUs", _counts(facts)
    if facts.cpuid.leaves:
        yield "AMX features", ", ".join(facts.cpuid.amx_features) or "none"
        yield "hypervisor", facts.cpuid.hypervisor or "none"
        yield "XCR0", _xcr0(facts)
    yield "kernel", f"{facts.system} {facts.kernel_release} {facts.machine}"
    if facts.runtimes:
        yield "container", ", ".join(facts.runtimes)
    if facts.permission is not None:
        answers = {name: getattr(facts.permission, name) for name in QUESTIONS}
        yield "permission", ", ".join(f"{name} {answer}" for name, answer in answers.items())
        yield "tile run", _tiles(facts)
    for name, value in sorted(facts.environment.items()):
        yield "environment", f"{name}={value}"
    yield "machine id", machine_id(host_traits(facts))


def _counts(facts: HostFacts) -> str:
    topology = facts.topology
    cpus, cores, nodes = len(topology.cpus), len(topology.cores), len(topology.nodes)
    return f"{cpus} CPUs on {cores} cores in {nodes} NUMA node{'' if nodes == 1 else 's'}"


def _xcr0(facts: HostFacts) -> str:
    xcr0 = facts.cpuid.xcr0 or 0
    states = {"XTILECFG": XTILECFG, "XTILEDATA": XTILEDATA}
    named = (f"{name} {'on' if xcr0 >> bit & 1 else 'off'}" for name, bit in states.items())
    return f"{facts.cpuid.xcr0_text} ({', '.join(named)})"


def _tiles(facts: HostFacts) -> str:
    if facts.tiles is None:
        return "not tried"
    right = sum(tile.status is TileStatus.OK for tile in facts.tiles)
    return f"right on {right} of {len(facts.tiles)} CPUs"
