"""Is AMX as fast as it should be? One benchmark row for each arm, one ratio row for each gate."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from amx_suite.core.case import RunCase
from amx_suite.core.gate import Gate
from amx_suite.core.isa import Isa
from amx_suite.fixtures import AmxRow, TrialAccess
from amx_suite.options import Settings
from amx_suite.testing.outcome import raise_for, record

pytestmark = [pytest.mark.performance, pytest.mark.level(2)]


@pytest.mark.benchmark(group="seconds per step")
def test_arm(amx_trial: TrialAccess, amx_arm: RunCase, amx_row: AmxRow) -> None:
    """Every arm runs to the end of its trial; its row holds seconds per step, round by round."""
    seconds = amx_trial.seconds(amx_arm)
    assert seconds, f"{amx_arm.id} took no turn"
    amx_row.fill(seconds, amx_arm.id, **amx_arm.conditions)


@pytest.mark.benchmark(group="seconds over its baseline's seconds (lower is faster, no unit)")
def test_speedup(
    amx_trial: TrialAccess,
    amx_gate: Gate,
    amx_row: AmxRow,
    amx_settings: Settings,
    record_property: Callable[[str, object], None],
) -> None:
    """The arm's speedup reaches its gate; its row holds candidate over baseline seconds.

    A ratio of one round's two times is nearly free of the machine's noise, so that a limit on
    this row's change from night to night means a change of the software.
    """
    if not amx_row.judged:
        pytest.skip("speed is not judged under --benchmark-disable")
    result = amx_trial.verdict(amx_gate)
    record(result, record_property)
    pairs = amx_trial.pairs(result.baseline_id, result.candidate_id)
    if pairs:
        amx_row.fill(
            [candidate / baseline for baseline, candidate in pairs],
            f"{result.candidate_id} over {result.baseline_id}",
            gate=amx_gate.id,
            verdict=str(result.verdict),
            reason=result.reason,
            **amx_trial.arm(amx_gate.precision, Isa.AMX).conditions,
        )
    raise_for(result, strict=amx_settings.strict)
