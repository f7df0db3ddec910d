"""How fast are the engines beside each other? One ratio row for each engine but the first."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from amx_suite.core.case import RunCase
from amx_suite.fixtures import AmxRow, TrialAccess
from amx_suite.options import Settings
from amx_suite.testing.outcome import end

pytestmark = [pytest.mark.performance, pytest.mark.level(3)]


@pytest.mark.benchmark(group="seconds over the first engine's seconds (lower is faster, no unit)")
def test_beside_the_first(
    amx_trial: TrialAccess,
    amx_rival: RunCase,
    amx_row: AmxRow,
    amx_settings: Settings,
    record_property: Callable[[str, object], None],
) -> None:
    """Both engines' arms ran what they say, in enough quiet rounds; no speed is asked of either.

    The row holds this engine's seconds over the first's of the same round, nearly free of the
    machine's noise, so that a limit on its change from night to night means a change of a stack.
    """
    if not amx_row.judged:
        pytest.skip("speed is not judged under --benchmark-disable")
    answer = amx_trial.beside_first(amx_rival)
    record_property("amx_verdict", str(answer.verdict))
    record_property("amx_reason", answer.reason)
    first = amx_trial.arms[0]
    pairs = amx_trial.pairs(first.id, amx_rival.id)
    if pairs:
        amx_row.fill(
            [seconds / of_first for of_first, seconds in pairs],
            f"{amx_rival.id} over {first.id}",
            verdict=str(answer.verdict),
            reason=answer.reason,
            **amx_rival.conditions,
        )
    end(answer.verdict, answer.reason, answer.remedy, strict=amx_settings.strict)
