"""From measurement, evidence and gate to a verdict with its reason and remedy."""

from __future__ import annotations

__all__ = ["gates_of", "is_decided", "judge", "judge_gate"]

from collections.abc import Iterable, Sequence

from amx_suite.core.case import RunCase
from amx_suite.core.gate import Gate
from amx_suite.core.measurement import Measurement
from amx_suite.core.trial import Trial
from amx_suite.core.verdict import GateResult, Verdict
from amx_suite.trial.proof import doubt_arm, doubt_beyond_ceiling
from amx_suite.trial.sequential import DECISIVE, SignEvidence, weigh
from amx_suite.trial.speedup import paired_speedup


def gates_of(trial: Trial, gates: Iterable[Gate]) -> tuple[tuple[Gate, RunCase, RunCase], ...]:
    """The gates that judge this trial, each with its candidate and its baseline arm."""
    return tuple(
        (gate, candidate, baseline)
        for gate in gates
        for candidate in trial.arms
        if gate.covers(candidate)
        for baseline in trial.arms
        if gate.is_baseline(baseline)
    )


def is_decided(gate: Gate, pairs: Iterable[tuple[float, float]]) -> bool:
    """Whether the (baseline, candidate) seconds decide the gate, for or against."""
    return max(_signs(gate, pairs)) >= DECISIVE


def _signs(gate: Gate, pairs: Iterable[tuple[float, float]]) -> SignEvidence:
    return weigh((base / cand for base, cand in pairs), gate.minimum)


def judge(
    trial: Trial, gates: Sequence[Gate], measurement: Measurement, missing: dict[str, str]
) -> tuple[GateResult, ...]:
    """The verdict on each gate of the trial; ``missing`` maps arm ids to why they did not run."""
    return tuple(
        judge_gate(gate, candidate, baseline, measurement, missing)
        for gate, candidate, baseline in gates_of(trial, gates)
    )


def judge_gate(
    gate: Gate,
    candidate: RunCase,
    baseline: RunCase,
    measurement: Measurement,
    missing: dict[str, str],
) -> GateResult:
    """The verdict on one gate.

    An arm that the engine does not have makes the gate NOT_APPLICABLE. Missing evidence comes
    before speed: NO_EVIDENCE however fast the arm was, and whether or not it lived to be timed.
    """

    def result(verdict: Verdict, reason: str, remedy: str = "") -> GateResult:
        return GateResult(
            gate,
            candidate.id,
            baseline.id,
            verdict,
            reason,
            remedy,
            speedup,
            signs.e_above,
            signs.e_below,
        )

    pairs = measurement.pairs(baseline.id, candidate.id)
    speedup = paired_speedup(pairs)
    signs = _signs(gate, pairs)
    for case in (candidate, baseline):
        if case.id in missing:
            return result(Verdict.NOT_APPLICABLE, f"{case.arm}: {missing[case.id]}")
    for case in (candidate, baseline):
        if case.id in measurement.beyond_ceiling:
            return result(
                Verdict.NO_EVIDENCE,
                *doubt_beyond_ceiling(case, measurement.beyond_ceiling[case.id]),
            )
    if speedup is None:
        return result(
            Verdict.INCONCLUSIVE,
            "no round was finished",
            "give the trial more time with --amx-budget",
        )
    for case in (candidate, baseline):
        doubt = doubt_arm(case, measurement.arm(case.id).evidence, gate.amx_share)
        if doubt:
            return result(Verdict.NO_EVIDENCE, *doubt)
    measured = f"{speedup.ratio:.2f}x over {baseline.arm} in {speedup.pairs} rounds"
    if signs.e_above >= DECISIVE:
        return result(Verdict.PASS, f"{measured}, at least {gate.minimum:g}x")
    if signs.e_below >= DECISIVE:
        return result(
            Verdict.FAIL,
            f"{measured}, below the minimum of {gate.minimum:g}x",
            "see which kernels ran in results.json, and check power limits, the host's load and "
            "the number of threads",
        )
    return result(
        Verdict.INCONCLUSIVE,
        f"{measured}, too near {gate.minimum:g}x or too noisy to decide",
        "give the trial more time with --amx-budget, or quiet the machine",
    )
