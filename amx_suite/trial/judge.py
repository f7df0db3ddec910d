"""From measurement, evidence and gate to a verdict with its reason and remedy."""

from __future__ import annotations

__all__ = ["gates_of", "is_decided", "judge", "judge_gate"]

from collections.abc import Iterable, Sequence

from amx_suite.core.case import RunCase
from amx_suite.core.evidence import Evidence, Jail
from amx_suite.core.gate import Gate
from amx_suite.core.measurement import Measurement
from amx_suite.core.trial import Trial
from amx_suite.core.verdict import GateResult, Verdict
from amx_suite.trial.sequential import DECISIVE, SignEvidence, weigh
from amx_suite.trial.speedup import paired_speedup

#: An AMX arm must spend more than this share of its matrix primitives' time on AMX kernels: with
#: less, most of what was timed is not AMX, whatever the ratio says.
_LEAST_AMX_SHARE = 0.5


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
    before speed: NO_EVIDENCE however fast the arm was.
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
    if speedup is None:
        return result(
            Verdict.INCONCLUSIVE,
            "no round was finished",
            "give the trial more time with --amx-budget",
        )
    doubt = _doubt_amx(measurement.arm(candidate.id).evidence) or _doubt_no_amx(
        baseline, measurement.arm(baseline.id).evidence
    )
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


def _doubt_amx(evidence: Evidence | None) -> tuple[str, str] | None:
    """Why it is not proven that an AMX arm used AMX, with the remedy; None if it is proven."""
    if evidence is None:
        return "the AMX arm's kernels were not recorded", "run the trial to its end"
    if not evidence.amx_permission:
        return (
            "the AMX arm ended without the kernel's tile permission, so it cannot have used AMX",
            "run amx-suite doctor",
        )
    if evidence.amx_share <= _LEAST_AMX_SHARE:
        ran = sorted(evidence.kernels, key=lambda use: -use.milliseconds)[:3]
        names = ", ".join(f"{use.kind} {use.implementation}" for use in ran) or "none logged"
        return (
            (
                f"only {evidence.amx_share:.0%} of the matrix primitives' time was on AMX kernels "
                f"(more than {_LEAST_AMX_SHARE:.0%} expected); most time: {names}"
            ),
            "check that oneDNN is built with AMX and that nothing lowers its ISA",
        )
    return None


def _doubt_no_amx(baseline: RunCase, evidence: Evidence | None) -> tuple[str, str] | None:
    """Why it is not proven that the baseline ran without AMX; None if it is proven."""
    if evidence is None:
        return f"the permission of {baseline.arm} was not read back", "run the trial to its end"
    if evidence.proves_no_amx:
        return None
    if evidence.jail is Jail.UNAVAILABLE:
        return (
            f"{baseline.arm} could not be jailed, so it may have used AMX",
            "allow seccomp filters (no_new_privs) in this container",
        )
    return (
        f"{baseline.arm} held the tile permission, so it may have used AMX",
        "report this: the jail did not hold",
    )
