"""One row for each arm of a trial: what the terminal table and summary.md both show."""

from __future__ import annotations

__all__ = [
    "ArmRow",
    "Comparison",
    "arm_rows",
    "evidence_text",
    "share_text",
    "speedup_text",
    "trial_title",
    "verdict_text",
]

import statistics

import msgspec

from amx_suite.core.case import Precision, RunCase
from amx_suite.core.evidence import Evidence, Jail
from amx_suite.core.gate import Versus
from amx_suite.core.measurement import ArmFacts, Measurement, lost_share
from amx_suite.core.trial import TrialResult
from amx_suite.core.verdict import GateResult, Speedup
from amx_suite.trial.interval import paired_speedup


class Comparison(msgspec.Struct, frozen=True):
    """An arm against one baseline: its speedup (None without a common round), and its gates."""

    speedup: Speedup | None
    gates: tuple[GateResult, ...]


class ArmRow(msgspec.Struct, frozen=True):
    """One arm of a trial.

    ``seconds`` is its median step and ``throughput`` is in ``unit`` a second; both are None where
    it had no turn. ``share_of_peak`` is of the unit that it may use, None where that
    was not read. A comparison is None where the trial has no such baseline.
    """

    arm: str
    rounds: int
    seconds: float | None
    throughput: float | None
    unit: str
    share_of_peak: float | None
    versus_fp32: Comparison | None
    versus_no_amx: Comparison | None
    evidence: str

    @property
    def gates(self) -> tuple[GateResult, ...]:
        """Every gate on this arm."""
        both = (self.versus_fp32, self.versus_no_amx)
        return tuple(gate for one in both if one is not None for gate in one.gates)


def arm_rows(result: TrialResult) -> tuple[ArmRow, ...]:
    """The rows of a trial, in the order of its arms."""
    return tuple(_row(result, facts) for facts in result.measurement.arms)


def _row(result: TrialResult, facts: ArmFacts) -> ArmRow:
    series = result.measurement.series(facts.case.id)
    seconds = statistics.median(series) if series else None
    return ArmRow(
        arm=facts.case.arm,
        rounds=len(series),
        seconds=seconds,
        throughput=facts.items_per_step / seconds if seconds else None,
        unit=facts.unit,
        share_of_peak=_share_of_peak(result.measurement, facts, seconds),
        versus_fp32=_comparison(result, facts.case, Versus.FP32),
        versus_no_amx=_comparison(result, facts.case, Versus.NO_AMX),
        evidence=evidence_text(facts.case, facts.evidence),
    )


def _share_of_peak(
    measurement: Measurement, facts: ArmFacts, seconds: float | None
) -> float | None:
    peaks = measurement.environment.peaks
    if peaks is None or seconds is None:
        return None
    return peaks.share(facts.case, facts.operations_per_step, seconds)


def _comparison(result: TrialResult, case: RunCase, versus: Versus) -> Comparison | None:
    gates = tuple(
        gate for gate in result.gates if gate.candidate_id == case.id and gate.gate.versus is versus
    )
    baseline = _baseline(result.measurement, case, versus)
    if baseline is None:
        return Comparison(None, gates) if gates else None
    if gates and gates[0].speedup is not None:
        return Comparison(gates[0].speedup, gates)
    return Comparison(paired_speedup(result.measurement.pairs(baseline.id, case.id)), gates)


def _baseline(measurement: Measurement, case: RunCase, versus: Versus) -> RunCase | None:
    """The arm that ``case`` is compared with, or None: FP32 and arms without AMX have none."""
    for facts in measurement.arms:
        other = facts.case
        if versus is Versus.FP32:
            if other.precision is Precision.FP32 and case.precision is not Precision.FP32:
                return other
        elif case.isa.allows_amx and other.precision is case.precision and not other.isa.allows_amx:
            return other
    return None


def trial_title(measurement: Measurement) -> str:
    """The trial's name with its shape, threads, rounds, waiting and seed."""
    words = [measurement.trial]
    if measurement.arms:
        case = measurement.arms[0].case
        words += [str(case.shape), f"{case.threads} threads"]
    words.append(f"{len(measurement.rounds)} rounds")
    waited = lost_share(measurement.rounds)
    if waited:
        words.append(f"{waited:.0%} of the time lost to waiting for quiet")
    words.append(f"seed {measurement.seed}")
    return ", ".join(words)


def evidence_text(case: RunCase, evidence: Evidence | None) -> str:
    """What is proven of an arm, in a few words; ``none`` where nothing was recorded."""
    if evidence is None:
        return "none"
    if case.isa.allows_amx:
        # Rounded down: 99.6 % must not read as all of it.
        return f"AMX {int(evidence.amx_share * 100)} %"
    if evidence.proves_no_amx:
        return "no AMX: " + ("jail held" if evidence.jail is Jail.HELD else "never permitted")
    if evidence.amx_permission is None:
        return "unproven: kernel does not say"
    return "AMX possible: permission held"


def share_text(share: float | None) -> str:
    """``63 %``; ``-`` where it is not known."""
    return "-" if share is None else f"{share * 100:.0f} %"


def speedup_text(speedup: Speedup | None) -> str:
    """``3.19x [3.10, 3.30]``; without an interval, the number of rounds; ``-`` without any."""
    if speedup is None:
        return "-"
    if speedup.low is None or speedup.high is None:
        return f"{speedup.ratio:.2f}x ({speedup.pairs} rounds)"
    return f"{speedup.ratio:.2f}x [{speedup.low:.2f}, {speedup.high:.2f}]"


def verdict_text(result: GateResult) -> str:
    """``>= 2.39 PASS``: the minimum and the verdict on it."""
    return f">= {result.gate.minimum:.2f} {result.verdict}"
