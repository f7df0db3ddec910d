"""Does the kernel preserve tile state, and does illegal use fault? On every CPU."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable

import pytest

from amx_suite.plugin.options import Settings
from amx_suite.plugin.run import HostView
from amx_suite.tmul.checks import CHECKS, CheckResult, Outcome, run_checks

pytestmark = [pytest.mark.instruction, pytest.mark.level(1)]


@pytest.fixture(scope="module")
def results(
    amx_support: HostView, amx_settings: Settings, amx_progress: Callable[..., None]
) -> dict[str, list[CheckResult]]:
    """Every check's results, by check; level 1 looks at the first CPU only."""
    allowed = amx_support.facts.allowed_cpus
    cpus = allowed[:1] if amx_settings.level == 1 else allowed
    found: dict[str, list[CheckResult]] = defaultdict(list)
    for result in run_checks(cpus):
        amx_progress(f"{result.check} on CPU {result.cpu}: {result.outcome}")
        found[result.check].append(result)
    return found


@pytest.mark.parametrize("check", list(CHECKS))
def test_every_cpu(check: str, results: dict[str, list[CheckResult]]) -> None:
    absent = [r.detail for r in results[check] if r.outcome is Outcome.NOT_HERE]
    broken = [f"CPU {r.cpu}: {r.detail}" for r in results[check] if r.outcome is Outcome.BROKEN]
    assert results[check], "the check was not run"
    assert not broken, "\n".join(broken)
    if absent:
        pytest.skip(absent[0])
