"""Is AMX present: reported, enabled, permitted, and working on every CPU?

Everything here is observed anew; what ``amx_support`` knows decides only whether there is anything
to check.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from amx_suite.host import presence
from amx_suite.host.cpuid import Cpuid
from amx_suite.host.permission import amx_permission_held, ask_permission
from amx_suite.plugin.outcome import record_cpus
from amx_suite.tmul.tile_probe import TileStatus, probe_tiles

if TYPE_CHECKING:
    from amx_suite.plugin.run import HostView

pytestmark = [pytest.mark.detection, pytest.mark.level(1)]

_BASE_TYPES = {"AMX-TILE", "AMX-BF16", "AMX-INT8"}


def _report(faults: list[str]) -> str:
    return "\n".join(faults)


@pytest.fixture(scope="module")
def cpuid_of_each_cpu(amx_support: HostView) -> dict[int, Cpuid]:
    return presence.read_each_cpu(amx_support.facts.allowed_cpus)


def test_every_cpu_reports_the_base_types(cpuid_of_each_cpu: dict[int, Cpuid]) -> None:
    missing = {
        cpu: sorted(_BASE_TYPES.difference(cpuid.amx_features))
        for cpu, cpuid in cpuid_of_each_cpu.items()
    }
    assert not any(missing.values()), missing


def test_every_cpu_reports_the_same(cpuid_of_each_cpu: dict[int, Cpuid]) -> None:
    faults = presence.cpu_differences(cpuid_of_each_cpu)
    assert not faults, _report(faults)


def test_tile_states_are_enabled_on_every_cpu(cpuid_of_each_cpu: dict[int, Cpuid]) -> None:
    faults = [
        f"CPU {cpu}: {fault}"
        for cpu, cpuid in cpuid_of_each_cpu.items()
        for fault in presence.state_faults(cpuid)
    ]
    assert not faults, _report(faults)


def test_palette_1_has_the_architectural_limits(cpuid_of_each_cpu: dict[int, Cpuid]) -> None:
    faults = [
        f"CPU {cpu}: {fault}"
        for cpu, cpuid in cpuid_of_each_cpu.items()
        for fault in presence.palette_faults(cpuid)
    ]
    assert not faults, _report(faults)


def test_kernel_grants_the_permission_to_who_asks(amx_support: HostView) -> None:
    held_here = amx_permission_held()
    faults = presence.permission_faults(ask_permission())
    assert not faults, _report(faults)
    assert amx_permission_held() == held_here, "the child's request changed this process"


def test_tile_instruction_is_right_on_every_cpu(
    amx_support: HostView, record_property: Callable[[str, object], None]
) -> None:
    cpus = amx_support.facts.allowed_cpus
    results = probe_tiles(cpus)
    wrong = [result.cpu for result in results if result.status is not TileStatus.OK]
    record_cpus(wrong, cpus, record_property)
    faults = presence.tile_faults(results, cpus)
    assert not faults, _report(faults)


def test_cpu_hypervisor_and_kernel_agree(amx_support: HostView) -> None:
    faults = presence.agreement_faults(amx_support.facts)
    assert not faults, _report(faults)
