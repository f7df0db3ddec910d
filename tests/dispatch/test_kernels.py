"""Is AMX used where it may be, and nowhere else? Every engine, precision and ceiling, untimed."""

from __future__ import annotations

import pytest

from amx_suite.core.case import Arm
from amx_suite.errors import NotApplicableError
from amx_suite.plugin.outcome import end
from amx_suite.plugin.trials import AmxTrial

pytestmark = [pytest.mark.dispatch, pytest.mark.level(2)]


def test_arm_ran_what_it_says(amx_trial: AmxTrial, amx_arm: Arm) -> None:
    """AMX arms spend their matrix time on AMX kernels, and the others cannot have used a tile.

    Every library reports the ceiling that was set, and computed in the arm's precision.
    """
    unproven = amx_trial.why_unproven(amx_arm, amx_trial.evidence(amx_arm))
    if unproven is not None:
        end(unproven.verdict, unproven.reason, unproven.remedy, strict=True)


def test_evidence_of_one_arm_passes_for_no_other(amx_trial: AmxTrial) -> None:
    """Real evidence of each arm is refused under every other arm's name.

    So an arm whose ceiling did not take effect cannot pass, nor one that silently computed in
    another precision. Arms that the engine does not have are left out.
    """
    found, why = {}, ""
    for arm in amx_trial.arms:
        try:
            found[arm] = amx_trial.evidence(arm)
        except NotApplicableError as error:
            why = why or str(error)
    if len(found) < 2:
        raise NotApplicableError(f"no two arms run here that could be mistaken: {why}")
    mistaken = [
        f"{ran.arm} passes for {claimed.arm}"
        for claimed in found
        for ran, evidence in found.items()
        if ran is not claimed and amx_trial.why_unproven(claimed, evidence) is None
    ]
    assert not mistaken, "; ".join(mistaken)
