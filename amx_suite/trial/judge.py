"""From measurement, evidence and gate to a verdict with its reason and remedy."""

from __future__ import annotations

__all__ = ["judge"]

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from amx_suite.core.case import RunCase
from amx_suite.core.gate import Gate
from amx_suite.core.measurement import Measurement, Round, pairs_in, readings_of
from amx_suite.core.trial import Trial
from amx_suite.core.verdict import GateResult, Verdict
from amx_suite.trial.proof import doubt_arm, doubt_beyond_ceiling
from amx_suite.trial.ruling import MIN_PAIRS, Ruling, Standing, rule
from amx_suite.trial.soundness import lying_probe, slow_share, twin_gap

_MORE_TIME = "give the trial more time with --amx-budget, or quiet the machine"


class _Answer(NamedTuple):
    """A verdict with its reason and remedy."""

    verdict: Verdict
    reason: str
    remedy: str = ""


def judge(
    trial: Trial,
    gates: Sequence[Gate],
    measurement: Measurement,
    missing: dict[str, str],
    elsewhere: Iterable[float] = (),
) -> tuple[GateResult, ...]:
    """The verdict on each gate of the trial, a function of what was stored alone.

    ``missing`` maps arm ids to why they did not run; ``elsewhere`` holds the e-values for FAIL of
    the session's gates in other trials. An arm that the engine does not have makes its gate
    NOT_APPLICABLE. Missing evidence comes before speed: NO_EVIDENCE however fast the arm was, and
    whether or not it lived to be timed.
    """
    rounds = measurement.quiet_rounds
    return tuple(
        _result(ruling, trial, measurement, rounds, missing)
        for ruling in rule(trial, gates, rounds, elsewhere)
    )


def _result(
    ruling: Ruling,
    trial: Trial,
    measurement: Measurement,
    rounds: Sequence[Round],
    missing: dict[str, str],
) -> GateResult:
    speedup = ruling.speedup
    verdict, reason, remedy = (
        _not_run(ruling, measurement, missing)
        or _unproven(ruling, measurement)
        or _too_few_pairs(ruling, measurement)
        or _unsound(ruling, trial, measurement, rounds)
        or _by_speed(ruling, measurement)
    )
    return GateResult(
        ruling.gate,
        ruling.candidate.id,
        ruling.baseline.id,
        verdict,
        reason,
        remedy,
        speedup,
        ruling.signs.e_above,
        ruling.signs.e_below,
        ruling.e_fail_session,
    )


def _not_run(ruling: Ruling, measurement: Measurement, missing: dict[str, str]) -> _Answer | None:
    both = (ruling.candidate, ruling.baseline)
    for case in both:
        if case.id in missing:
            return _Answer(Verdict.NOT_APPLICABLE, f"{case.arm}: {missing[case.id]}")
    for case in both:
        if case.id in measurement.beyond_ceiling:
            doubt = doubt_beyond_ceiling(case, measurement.beyond_ceiling[case.id])
            return _Answer(Verdict.NO_EVIDENCE, *doubt)
    if _rounds_run(ruling, measurement):
        return None
    return _Answer(
        Verdict.INCONCLUSIVE,
        "no round was finished",
        "give the trial more time with --amx-budget",
    )


def _unproven(ruling: Ruling, measurement: Measurement) -> _Answer | None:
    for case in (ruling.candidate, ruling.baseline):
        doubt = doubt_arm(case, measurement.arm(case.id).evidence, ruling.gate.amx_share)
        if doubt:
            return _Answer(Verdict.NO_EVIDENCE, *doubt)
    return None


def _too_few_pairs(ruling: Ruling, measurement: Measurement) -> _Answer | None:
    found, ran = len(ruling.pairs), _rounds_run(ruling, measurement)
    if found >= MIN_PAIRS:
        return None
    reason = f"{found} of {ran} rounds were quiet, and {MIN_PAIRS} are needed"
    reference = measurement.quiet_reference
    busiest = reference and reference.busiest(readings_of(measurement.rounds))
    if busiest:
        unit, factor = busiest
        reason += f"; others took most of the {unit} unit, down to {1 / factor:.0%} of its rate"
    return _Answer(Verdict.INCONCLUSIVE, reason, _MORE_TIME)


def _unsound(
    ruling: Ruling, trial: Trial, measurement: Measurement, rounds: Sequence[Round]
) -> _Answer | None:
    """Why the figures cannot be trusted, whatever they say."""
    lie = lying_probe(measurement)
    if lie:
        unit, factor = lie
        return _Answer(
            Verdict.INCONCLUSIVE,
            f"the {unit} unit reads {factor:.2f} times as fast as this machine's stored reference, "
            "so either is wrong and nothing tells quiet from busy",
            "run amx-suite calibrate again",
        )
    gap = twin_gap(trial, rounds)
    if gap is not None and trial.twin is not None:
        return _Answer(
            Verdict.INCONCLUSIVE,
            f"the twin is not null: {trial.twin.arm}, the same case started once more, takes "
            f"{gap:.2f} times its time, so this trial cannot tell 5 %",
            "run it again; if it recurs, see whether CPUs, memory or huge pages differ by process",
        )
    for case in (ruling.candidate, ruling.baseline):
        share = slow_share(_seconds(rounds, case))
        if share is not None and not _holds_at_worst(ruling):
            return _Answer(
                Verdict.INCONCLUSIVE,
                f"{case.arm} runs at two speeds or drifts: {share:.0%} of its slices between quiet "
                "readings were more than 1.25 times as long as its fast ones",
                "a finding about the arm, not about the machine's load: look for throttling, "
                "memory placement or work that the probe does not see",
            )
    return None


def _holds_at_worst(ruling: Ruling) -> bool:
    """Whether the verdict is the same whichever of its speeds each arm is held to."""
    baseline, candidate = zip(*ruling.pairs, strict=True)
    if ruling.standing is Standing.PASS:
        return bool(min(baseline) / max(candidate) > ruling.gate.minimum)
    fails = max(baseline) / min(candidate) < ruling.gate.minimum
    return ruling.standing is Standing.FAIL and bool(fails)


def _by_speed(ruling: Ruling, measurement: Measurement) -> _Answer:
    gate, speedup = ruling.gate, ruling.speedup
    assert speedup is not None  # too few pairs have been answered before
    measured = f"{speedup.ratio:.2f}x over {ruling.baseline.arm} in {speedup.pairs} rounds"
    reference = measurement.quiet_reference
    if reference is not None and reference.weak:
        measured += " (quiet by the best state seen, no reference of this machine is stored)"
    match ruling.standing:
        case Standing.PASS:
            return _Answer(Verdict.PASS, f"{measured}, at least {gate.minimum:g}x")
        case Standing.FAIL:
            return _Answer(
                Verdict.FAIL,
                f"{measured}, below the minimum of {gate.minimum:g}x",
                "see which kernels ran in results.json, and check power limits, the host's load "
                "and the number of threads",
            )
        case Standing.TO_RECUR:
            reason = f"just below the minimum of {gate.minimum:g}x, which did not recur in fresh "
            return _Answer(Verdict.INCONCLUSIVE, f"{measured}, {reason}processes", _MORE_TIME)
        case Standing.CONTRADICTORY:
            reason = f"above {gate.minimum:g}x in some processes and below it in others"
            return _Answer(
                Verdict.INCONCLUSIVE,
                f"{measured}, {reason}",
                "the arm's speed depends on how memory is laid out at its launch; run it again",
            )
        case Standing.OPEN:
            reason = f"too near {gate.minimum:g}x or too noisy to decide"
            return _Answer(Verdict.INCONCLUSIVE, f"{measured}, {reason}", _MORE_TIME)


def _rounds_run(ruling: Ruling, measurement: Measurement) -> int:
    return len(pairs_in(measurement.rounds, ruling.baseline.id, ruling.candidate.id))


def _seconds(rounds: Sequence[Round], case: RunCase) -> list[float]:
    found = (round_.seconds_per_step(case.id) for round_ in rounds)
    return [seconds for seconds in found if seconds is not None]
