"""What the suite says of a gate, and of a whole run."""

from __future__ import annotations

__all__ = ["GateResult", "Speedup", "Verdict"]

from enum import StrEnum

import msgspec

from amx_suite.core.gate import Gate


class Verdict(StrEnum):
    """The five answers. A fast ratio without evidence is NO_EVIDENCE, never PASS."""

    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    NO_EVIDENCE = "NO_EVIDENCE"
    NOT_APPLICABLE = "NOT_APPLICABLE"

    @property
    def is_failure(self) -> bool:
        """Whether this verdict alone disqualifies."""
        return self in (Verdict.FAIL, Verdict.NO_EVIDENCE)


class Speedup(msgspec.Struct, frozen=True):
    """Paired speedup, baseline seconds over candidate seconds, with its interval.

    ``low`` and ``high`` bound the ratio at ``confidence``; both None where there are too few pairs
    for an interval at that confidence.
    """

    ratio: float
    low: float | None
    high: float | None
    confidence: float
    pairs: int


class GateResult(msgspec.Struct, frozen=True):
    """One gate's verdict with its reason and what to do next (empty on PASS).

    ``e_pass`` and ``e_fail`` are the e-values for "above the gate" and "below the gate";
    ``e_fail_session`` is the latter adjusted for all gates of the session.
    """

    gate: Gate
    candidate_id: str
    baseline_id: str
    verdict: Verdict
    reason: str
    remedy: str = ""
    speedup: Speedup | None = None
    e_pass: float = 0.0
    e_fail: float = 0.0
    e_fail_session: float = 0.0
