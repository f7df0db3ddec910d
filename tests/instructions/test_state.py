"""Does the kernel preserve tile state, and does illegal use fault? On every CPU."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import pytest

from amx_suite.host.presence import tile_faults
from amx_suite.plugin.options import Settings
from amx_suite.plugin.outcome import record_cpus
from amx_suite.plugin.run import HostView
from amx_suite.tmul.checks import CHECKS, run_checks
from amx_suite.tmul.tile_probe import TileResult, TileStatus

pytestmark = [pytest.mark.instruction, pytest.mark.level(1)]


@pytest.fixture(scope="module")
def results(
    amx_support: HostView, amx_settings: Settings, amx_progress: Callable[..., None]
) -> dict[str, list[TileResult]]:
    """Every check's results, by check; level 1 looks at the first CPU only."""
    allowed = amx_support.facts.allowed_cpus
    cpus = allowed[:1] if amx_settings.level == 1 else allowed
    found: dict[str, list[TileResult]] = defaultdict(list)
    for check, result in run_checks(cpus):
        amx_progress(f"{check} on CPU {result.cpu}: {result.status}")
        found[check].append(result)
    return found


@pytest.mark.parametrize("check", list(CHECKS))
def test_every_cpu(
    check: str,
    results: dict[str, list[TileResult]],
    record_property: Callable[[str, object], None],
) -> None:
    assert results[check], "the check was not run"
    absent = [result for result in results[check] if result.status is TileStatus.NOT_HERE]
    rest = [result for result in results[check] if result not in absent]
    wrong = [result.cpu for result in rest if result.status is not TileStatus.OK]
    record_cpus(wrong, [result.cpu for result in rest], record_property)
    faults = tile_faults(rest, [result.cpu for result in rest])
    assert not faults, "\n".join(faults)
    if absent:
        pytest.skip(absent[0].detail)
