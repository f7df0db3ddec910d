"""Where an arm's time went, for gates that were missed or passed by little.

All shares are of the evidence step's wall time. The kernel log is on in that step, so overheads
weigh a little more in it than in a timed step.
"""

from __future__ import annotations

__all__ = ["REORDERS", "UNSEEN", "explained", "largest_kernels", "time_shares"]

from collections.abc import Iterator
from itertools import zip_longest

from amx_suite.core.evidence import Evidence, Family
from amx_suite.core.trial import TrialResult
from amx_suite.core.verdict import GateResult, Verdict

#: A gate is passed by little when the speedup is less than this factor above its minimum.
_NEAR = 1.10
_KERNELS_SHOWN = 5
_ON_AMX = "on AMX kernels"

#: Where time may go besides the families of kernels.
REORDERS, UNSEEN = "reorders", "unseen"


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
        ours, theirs = (largest_kernels(evidence) for _, evidence in (candidate, baseline))
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


def time_shares(evidence: Evidence) -> dict[str, float]:
    """Shares of the step by family of kernels, then ``REORDERS`` and ``UNSEEN``; they add up to 1.

    None if the step was not timed or nothing was logged.
    """
    spent = {**dict.fromkeys(map(str, Family), 0.0), REORDERS: 0.0}
    for use in evidence.primitives:
        spent[REORDERS if use.kind == "reorder" else use.family] += use.milliseconds
    logged = sum(spent.values())
    if evidence.step_milliseconds <= 0 or logged <= 0:
        return {}
    # Primitives that run at the same time can add up to more than the step.
    whole = max(evidence.step_milliseconds, logged)
    spent[UNSEEN] = whole - logged
    return {where: milliseconds / whole for where, milliseconds in spent.items()}


def _shares(evidence: Evidence) -> dict[str, float]:
    """The same with the families without AMX as one; in the words of the lines."""
    shares = time_shares(evidence)
    if not shares:
        return {}
    amx, reorders, unseen = (shares[where] for where in (Family.AMX, REORDERS, UNSEEN))
    return {
        _ON_AMX: amx,
        "on other kernels": max(0.0, 1.0 - amx - reorders - unseen),
        "in reorders": reorders,
        "unseen": unseen,
    }


def _limit(result: GateResult, amx: float) -> str:
    if result.speedup is None or amx >= 1:
        return ""
    limit = result.speedup.ratio / (1 - amx)
    return (
        f"Amdahl: with AMX kernels {amx:.0%} of the step, faster tiles alone could reach "
        f"{limit:.2f}x at most; the gate asks {result.gate.minimum:g}x"
    )


def largest_kernels(evidence: Evidence) -> list[str]:
    """The kernels that took the most time, in a few words each, slowest first."""
    uses = evidence.slowest[:_KERNELS_SHOWN]
    return [f"{use.count} x {use} {use.milliseconds:.1f} ms" for use in uses]
