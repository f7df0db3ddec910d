"""Where an arm's time went, for gates that were missed or passed by little.

All shares are of the evidence step's wall time. The kernel log is on in that step, so overheads
weigh a little more in it than in a timed step. Products that are logged within a parallel region
have inflated times. Where the logged times add up to more than the step, shares are of their sum.
"""

from __future__ import annotations

__all__ = ["UNSEEN", "explained", "time_shares", "time_text"]

from collections import defaultdict
from collections.abc import Iterator
from itertools import zip_longest

from amx_suite.core.evidence import Evidence, Family
from amx_suite.core.trial import TrialResult
from amx_suite.core.verdict import GateResult, Verdict

#: A gate is passed by little when the speedup is less than this factor above its minimum.
_NEAR = 1.10
_KERNELS_SHOWN = 5
_ON_AMX = "on AMX kernels"

#: The operation and ISA of time in no logged kernel.
UNSEEN = ("unseen", "")


def explained(trial: TrialResult) -> Iterator[tuple[GateResult, tuple[str, ...]]]:
    """The gates that need an explanation, each with its lines; none without both arms' evidence.

    The last line is Amdahl's limit: if the AMX kernels took no time and all else stayed as it is,
    the speedup would be ``ratio / (1 - share on AMX kernels)``.
    """
    arms = {
        facts.case.id: (facts.case.arm, facts.evidence)
        for facts in trial.measurement.arms
        if facts.evidence is not None
    }
    for result in trial.gates:
        candidate, baseline = arms.get(result.candidate_id), arms.get(result.baseline_id)
        if candidate is None or baseline is None or not _needs_explanation(result):
            continue
        ours, theirs = (_largest_kernels(evidence) for _, evidence in (candidate, baseline))
        pairs = enumerate(zip_longest(ours, theirs, fillvalue="nothing"), start=1)
        lines = (
            *(f"{name}: {_where(evidence)}" for name, evidence in (candidate, baseline)),
            *(f"kernel {number}: {one} | {other}" for number, (one, other) in pairs),
            _limit(result, _shares(candidate[1]).get(_ON_AMX, 1.0)),
        )
        yield result, tuple(filter(None, lines))


def _needs_explanation(result: GateResult) -> bool:
    if result.verdict is not Verdict.PASS:
        return result.verdict is not Verdict.NOT_APPLICABLE
    return result.speedup is not None and result.speedup.ratio < _NEAR * result.gate.minimum


def _where(evidence: Evidence) -> str:
    shares = [f"{share:.0%} {where}" for where, share in _shares(evidence).items()]
    return ", ".join(shares) or "no primitive was logged, all of its time is unseen"


def time_shares(evidence: Evidence) -> dict[tuple[str, str], float]:
    """Shares of the step by operation and ``Family.isa``, the largest first, ``UNSEEN`` among them.

    They add up to 1. Empty if the step was not timed or nothing was logged.
    """
    spent: dict[tuple[str, str], float] = defaultdict(float)
    for use in evidence.primitives:
        spent[use.kind, use.family.isa] += use.milliseconds
    logged = sum(spent.values())
    if evidence.step_milliseconds <= 0 or logged <= 0:
        return {}
    whole = max(evidence.step_milliseconds, logged)
    spent[UNSEEN] = whole - logged
    largest_first = sorted(spent.items(), key=lambda item: -item[1])
    return {where: milliseconds / whole for where, milliseconds in largest_first}


def time_text(evidence: Evidence) -> str:
    """What an arm's shares are shares of, such as ``of 54.7 ms``."""
    step, logged = evidence.step_milliseconds, sum(u.milliseconds for u in evidence.primitives)
    return f"of {step:.1f} ms" if logged <= step else f"of {logged:.1f} ms logged in {step:.1f} ms"


def _shares(evidence: Evidence) -> dict[str, float]:
    """The same in the words of the lines: by AMX, other kernels, reorders and unseen."""
    shares = {_ON_AMX: 0.0, "on other kernels": 0.0, "in reorders": 0.0, "unseen": 0.0}
    found = time_shares(evidence)
    for (operation, isa), share in found.items():
        if (operation, isa) == UNSEEN:
            shares["unseen"] += share
        elif operation == "reorder":
            shares["in reorders"] += share
        else:
            shares[_ON_AMX if isa == Family.AMX.isa else "on other kernels"] += share
    return shares if found else {}


def _limit(result: GateResult, amx: float) -> str:
    if result.speedup is None or amx >= 1:
        return ""
    limit = result.speedup.ratio / (1 - amx)
    return (
        f"Amdahl: with AMX kernels {amx:.0%} of the step, faster tiles alone could reach "
        f"{limit:.2f}x at most; the gate asks {result.gate.minimum:g}x"
    )


def _largest_kernels(evidence: Evidence) -> list[str]:
    """The kernels that took the most time, in a few words each, slowest first."""
    uses = evidence.slowest[:_KERNELS_SHOWN]
    return [f"{use.count} x {use} {use.milliseconds:.1f} ms" for use in uses]
