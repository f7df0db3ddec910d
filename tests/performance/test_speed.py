"""Is AMX as fast as it should be? One benchmark row for each arm, one ratio row for each gate."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from amx_suite.core.case import Arm
from amx_suite.core.gate import Gate
from amx_suite.plugin.options import Settings
from amx_suite.plugin.outcome import end, record
from amx_suite.plugin.rows import AmxRow
from amx_suite.plugin.trials import AmxTrial

pytestmark = [pytest.mark.performance, pytest.mark.level(2)]


@pytest.mark.benchmark(group="seconds per step")
def test_arm(amx_trial: AmxTrial, amx_arm: Arm, amx_row: AmxRow) -> None:
    """Every arm runs to the end of its trial; its row holds seconds per step, round by round."""
    seconds = amx_trial.seconds(amx_arm)
    assert seconds, f"{amx_arm.id} was never timed"
    amx_row.fill(seconds, amx_arm.id, **amx_arm.conditions)


@pytest.mark.benchmark(group="seconds over its baseline's seconds (lower is faster, no unit)")
def test_speedup(
    amx_trial: AmxTrial,
    amx_gate: Gate,
    amx_row: AmxRow,
    amx_settings: Settings,
    record_property: Callable[[str, object], None],
) -> None:
    """The arm's speedup reaches its gate; its row holds candidate over baseline seconds.

    A ratio of two times in one round is nearly free of the machine's noise, so a change of this
    row from night to night is a change of the software.
    """
    if amx_row.why_not_judged:
        pytest.skip(amx_row.why_not_judged)
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
            **amx_trial.arm_with_amx(amx_gate.precision).conditions,
        )
    reason = f"{result.gate.id}: {result.reason}"
    end(result.verdict, reason, result.remedy, strict=amx_settings.strict)
