"""The verdict on a gate, with its reason."""

from __future__ import annotations

__all__ = ["Decision", "GateResult", "Lack", "Speedup", "Verdict"]

from enum import StrEnum
from typing import NamedTuple

import msgspec

from amx_suite.core.gate import Gate
from amx_suite.core.units import Count, Ratio, Share


class Verdict(StrEnum):
    """The five verdicts. A fast arm without evidence is NO_EVIDENCE, never PASS."""

    PASS = "PASS"
    FAIL = "FAIL"
    INCONCLUSIVE = "INCONCLUSIVE"
    NO_EVIDENCE = "NO_EVIDENCE"
    NOT_APPLICABLE = "NOT_APPLICABLE"

    @property
    def is_failure(self) -> bool:
        """Whether this verdict alone disqualifies."""
        return self in (Verdict.FAIL, Verdict.NO_EVIDENCE)


class Lack(StrEnum):
    """What an INCONCLUSIVE verdict lacked."""

    #: The trial spent its time waiting.
    QUIET = "quiet"
    #: There were too few rounds, though the machine was quiet.
    TIME = "time"
    #: The interval holds the minimum.
    DISTANCE = "distance"
    #: The second launch did not confirm a FAIL.
    AGREEMENT = "agreement"
    #: The rates of the undisturbed machine are not known.
    REFERENCE = "reference"
    #: The kernel slows the two processes differently.
    EQUALITY = "equal conditions"
    #: The machine was suspended or paused, or its CPUs changed.
    STABILITY = "a machine that stays as it is"


class Decision(NamedTuple):
    """A verdict with its reason, what to do next, and what it lacked if it is INCONCLUSIVE."""

    verdict: Verdict
    reason: str
    remedy: str = ""
    lack: Lack | None = None


class Speedup(msgspec.Struct, frozen=True):
    """Paired speedup, baseline seconds over candidate seconds, with its interval.

    ``low`` and ``high`` bound the ratio at ``confidence``; both are None with too few pairs.
    """

    ratio: Ratio
    low: Ratio | None
    high: Ratio | None
    confidence: Share
    pairs: Count

    def __str__(self) -> str:
        known = self.low is not None and self.high is not None
        interval = f" [{self.low:.2f}, {self.high:.2f}]" if known else ""
        return f"{self.ratio:.2f}x{interval}"


class GateResult(msgspec.Struct, frozen=True):
    """One gate's verdict with its reason and what to do next (empty on PASS).

    ``speedup`` is from the first launch, ``second`` from the second, which takes place only if
    the first is below the minimum. ``lack`` says what an INCONCLUSIVE verdict lacked.
    """

    gate: Gate
    candidate_id: str
    baseline_id: str
    verdict: Verdict
    reason: str
    remedy: str = ""
    speedup: Speedup | None = None
    second: Speedup | None = None
    lack: Lack | None = None
