"""Where an arm's time went, for gates that were missed or nearly so.

All shares are of the evidence step's wall time; that step runs with the kernel log on, so its
overheads weigh a little more in it than in a timed step.
"""

from __future__ import annotations

__all__ = ["Breakdown", "breakdown", "explained", "explanation", "needs_explaining"]

from collections.abc import Iterator
from itertools import zip_longest

import msgspec

from amx_suite.core.evidence import Evidence, Family, KernelUse
from amx_suite.core.trial import TrialResult
from amx_suite.core.verdict import GateResult, Verdict

#: A passed gate is near when the speedup is less than this much above its minimum.
_NEAR = 1.10
_KERNELS_SHOWN = 5


class Breakdown(msgspec.Struct, frozen=True):
    """Shares of a step's wall time, 0 to 1, that add up to 1."""

    amx: float
    other: float
    reorder: float
    unseen: float


def breakdown(evidence: Evidence) -> Breakdown | None:
    """Shares on AMX kernels, on other kernels, in reorders, and in what no primitive covers.

    None if the step was not timed or nothing was logged. Executions of oneDNN Graph are left out:
    the primitives inside them are logged as well.
    """
    uses = [use for use in evidence.kernels if not use.kind.startswith("graph:")]
    logged = sum(use.milliseconds for use in uses)
    if evidence.step_milliseconds <= 0 or logged <= 0:
        return None
    # Primitives that run beside each other can add up to more than the step.
    whole = max(evidence.step_milliseconds, logged)
    reorder = sum(use.milliseconds for use in uses if use.kind == "reorder")
    amx = sum(u.milliseconds for u in uses if u.family is Family.AMX and u.kind != "reorder")
    return Breakdown(
        amx=amx / whole,
        other=(logged - reorder - amx) / whole,
        reorder=reorder / whole,
        unseen=(whole - logged) / whole,
    )


def needs_explaining(result: GateResult) -> bool:
    """Whether the gate was missed, not decided, not proven, or passed by little."""
    if result.verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.NO_EVIDENCE):
        return True
    speedup = result.speedup
    near = speedup is not None and speedup.ratio < _NEAR * result.gate.minimum
    return result.verdict is Verdict.PASS and near


def explained(trial: TrialResult) -> Iterator[tuple[GateResult, tuple[str, ...]]]:
    """The trial's gates that need explaining and can be, each with its lines."""
    for result in trial.gates:
        lines = explanation(trial, result) if needs_explaining(result) else ()
        if lines:
            yield result, lines


def explanation(trial: TrialResult, result: GateResult) -> tuple[str, ...]:
    """Lines that say where the candidate's time went, beside its baseline's; empty without both.

    The last line is Amdahl's limit: were the AMX kernels infinitely fast and all else as it is, the
    speedup could be no more than ``ratio / (1 - share on AMX kernels)``.
    """
    arms = {facts.case.id: facts for facts in trial.measurement.arms}
    if not {result.candidate_id, result.baseline_id} <= arms.keys():
        return ()
    candidate, baseline = arms[result.candidate_id], arms[result.baseline_id]
    if candidate.evidence is None or baseline.evidence is None:
        return ()
    lines = [
        _shares(facts.case.arm, facts.evidence)
        for facts in (candidate, baseline)
        if facts.evidence is not None
    ]
    pairs = zip_longest(
        _largest(candidate.evidence), _largest(baseline.evidence), fillvalue="nothing"
    )
    lines += [f"kernel {n}: {ours} | {theirs}" for n, (ours, theirs) in enumerate(pairs, start=1)]
    shares = breakdown(candidate.evidence)
    if shares is not None and result.speedup is not None and shares.amx < 1:
        limit = result.speedup.ratio / (1 - shares.amx)
        lines.append(
            f"Amdahl: with AMX kernels {shares.amx:.0%} of the step, faster tiles alone could "
            f"reach {limit:.2f}x at most; the gate asks {result.gate.minimum:g}x"
        )
    return tuple(lines)


def _shares(arm: str, evidence: Evidence) -> str:
    shares = breakdown(evidence)
    if shares is None:
        return f"{arm}: no primitive was logged, all of its time is unseen"
    return (
        f"{arm}: {shares.amx:.0%} on AMX kernels, {shares.other:.0%} on other kernels, "
        f"{shares.reorder:.0%} in reorders, {shares.unseen:.0%} unseen"
    )


def _largest(evidence: Evidence) -> list[str]:
    uses = [use for use in evidence.kernels if not use.kind.startswith("graph:")]
    uses.sort(key=lambda use: -use.milliseconds)
    return [_describe(use) for use in uses[:_KERNELS_SHOWN]]


def _describe(use: KernelUse) -> str:
    words = (f"{use.count} x", use.kind, use.implementation, use.data_type)
    return f"{' '.join(filter(None, words))} {use.milliseconds:.1f} ms"
