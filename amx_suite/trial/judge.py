"""From measurement, evidence and gate to a verdict with its reason and remedy."""

from __future__ import annotations

__all__ = ["Answer", "judge", "judge_pair"]

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from amx_suite.core.case import RunCase
from amx_suite.core.gate import DEFAULT_AMX_SHARE, Gate
from amx_suite.core.measurement import Measurement, Round, pairs_in, readings_of
from amx_suite.core.noise import QUIET_WITHIN
from amx_suite.core.trial import Trial
from amx_suite.core.verdict import GateResult, Verdict
from amx_suite.trial.proof import doubt_arm, doubt_beyond_ceiling
from amx_suite.trial.ruling import MIN_PAIRS, Ruling, Standing, rule
from amx_suite.trial.soundness import (
    is_alone,
    lying_probe,
    slow_share,
    twin_gap,
    unknown_unit,
)

_MORE_TIME = "give the trial more time with --amx-budget, or quiet the machine"


class Answer(NamedTuple):
    """A verdict with its reason and remedy."""

    verdict: Verdict
    reason: str
    remedy: str = ""


def judge(
    trial: Trial,
    gates: Sequence[Gate],
    measurement: Measurement,
    missing: Mapping[str, str],
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


def judge_pair(
    first: RunCase, other: RunCase, measurement: Measurement, missing: Mapping[str, str]
) -> Answer:
    """Whether the figures of one arm beside the first's can be trusted: PASS, or why not.

    ``missing`` as for ``judge``. There is no minimum, so no speed makes it FAIL. An arm that runs
    at two speeds has no one ratio, which makes it INCONCLUSIVE.
    """
    rounds = measurement.quiet_rounds
    compared = _Compared(other, first, pairs_in(rounds, first.id, other.id), DEFAULT_AMX_SHARE)
    return (
        _not_run(compared, measurement, missing)
        or _unproven(compared, measurement)
        or _too_few_pairs(compared, measurement)
        or _unguarded(measurement)
        or _two_speeds(other, measurement, rounds)
        or _two_speeds(first, measurement, rounds)
        or Answer(Verdict.PASS, f"{len(compared.pairs)} quiet rounds, each arm proven")
    )


class _Compared(NamedTuple):
    """What is compared with what, its quiet pairs, and the AMX share that both must exceed."""

    candidate: RunCase
    baseline: RunCase
    pairs: Sequence[tuple[float, float]]
    amx_share: float

    @property
    def both(self) -> tuple[RunCase, RunCase]:
        return self.candidate, self.baseline

    def rounds_run(self, measurement: Measurement) -> int:
        return len(pairs_in(measurement.rounds, self.baseline.id, self.candidate.id))


def _result(
    ruling: Ruling,
    trial: Trial,
    measurement: Measurement,
    rounds: Sequence[Round],
    missing: Mapping[str, str],
) -> GateResult:
    share = ruling.gate.amx_share
    compared = _Compared(ruling.candidate, ruling.baseline, ruling.pairs, share)
    speedup = ruling.speedup
    verdict, reason, remedy = (
        _not_run(compared, measurement, missing)
        or _unproven(compared, measurement)
        or _too_few_pairs(compared, measurement)
        or _unguarded(measurement)
        or _unlike_twin(trial, rounds)
        or _unsteady(ruling, measurement, rounds)
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


def _not_run(
    compared: _Compared, measurement: Measurement, missing: Mapping[str, str]
) -> Answer | None:
    for case in compared.both:
        if case.id in missing:
            return Answer(Verdict.NOT_APPLICABLE, f"{_name(case, measurement)}: {missing[case.id]}")
    for case in compared.both:
        if case.id in measurement.beyond_ceiling:
            doubt = doubt_beyond_ceiling(case, measurement.beyond_ceiling[case.id])
            return Answer(Verdict.NO_EVIDENCE, *doubt)
    if compared.rounds_run(measurement):
        return None
    return Answer(
        Verdict.INCONCLUSIVE,
        "no round was finished",
        "give the trial more time with --amx-budget",
    )


def _unproven(compared: _Compared, measurement: Measurement) -> Answer | None:
    for case in compared.both:
        doubt = doubt_arm(case, measurement.arm(case.id).evidence, compared.amx_share)
        if doubt:
            whose = f"{case.engine}: " if measurement.engines else ""
            return Answer(Verdict.NO_EVIDENCE, f"{whose}{doubt.reason}", doubt.remedy)
    return None


def _too_few_pairs(compared: _Compared, measurement: Measurement) -> Answer | None:
    found, ran = len(compared.pairs), compared.rounds_run(measurement)
    if found >= MIN_PAIRS:
        return None
    reason = f"{found} of {ran} rounds were quiet, and {MIN_PAIRS} are needed"
    reference = measurement.quiet_reference
    busiest = reference and reference.busiest(readings_of(measurement.rounds))
    if busiest:
        unit, factor = busiest
        reason += f"; others took most of the {unit} unit, down to {1 / factor:.0%} of its rate"
    return Answer(Verdict.INCONCLUSIVE, reason, _MORE_TIME)


def _unguarded(measurement: Measurement) -> Answer | None:
    if (unknown := unknown_unit(measurement)) is not None:
        why = (
            f"this machine's stored reference does not know the {unknown} unit, which it was not "
            "allowed to use then, so nothing tells whether that unit was quiet"
        )
    elif (lie := lying_probe(measurement)) is not None:
        unit, factor = lie
        why = (
            f"the {unit} unit reads {factor:.2f} times as fast as this machine's stored "
            "reference, so either is wrong and nothing tells quiet from busy"
        )
    else:
        return None
    return Answer(Verdict.INCONCLUSIVE, why, "run amx-suite calibrate again")


def _unlike_twin(trial: Trial, rounds: Sequence[Round]) -> Answer | None:
    gap = twin_gap(trial, rounds)
    if gap is None or trial.twin is None:
        return None
    return Answer(
        Verdict.INCONCLUSIVE,
        f"the twin is not null: {trial.twin.arm}, the same case started once more, takes "
        f"{gap:.2f} times its time, so this trial cannot tell 5 %",
        "run it again; if it recurs, see whether CPUs, memory or huge pages differ by process",
    )


def _unsteady(ruling: Ruling, measurement: Measurement, rounds: Sequence[Round]) -> Answer | None:
    if _holds_at_worst(ruling):
        return None
    both = (ruling.candidate, ruling.baseline)
    found = (_two_speeds(case, measurement, rounds) for case in both)
    return next((answer for answer in found if answer is not None), None)


def _two_speeds(case: RunCase, measurement: Measurement, rounds: Sequence[Round]) -> Answer | None:
    seconds = _seconds(rounds, case)
    share = slow_share(seconds)
    if share is None:
        return None
    reason = (
        f"{_name(case, measurement)} runs at two speeds or drifts: {share:.0%} of its slices "
        f"between quiet readings were more than {QUIET_WITHIN:g} times as long as its fast ones"
    )
    others = [facts.case for facts in measurement.arms if facts.case.id != case.id]
    if not is_alone(seconds, [_seconds(rounds, other) for other in others]):
        return Answer(
            Verdict.INCONCLUSIVE,
            f"{reason}, and the other arms are no steadier",
            "a finding about the machine: others come and go within a slice, or take what the "
            "probe does not read; quiet the machine",
        )
    return Answer(
        Verdict.INCONCLUSIVE,
        reason,
        "a finding about the arm, not about the machine's load: look for throttling, "
        "memory placement or work that the probe does not see",
    )


def _name(case: RunCase, measurement: Measurement) -> str:
    return case.engine if measurement.engines else case.arm


def _holds_at_worst(ruling: Ruling) -> bool:
    """Whether the verdict is the same whichever of its speeds each arm is held to."""
    baseline, candidate = zip(*ruling.pairs, strict=True)
    if ruling.standing is Standing.PASS:
        return bool(min(baseline) / max(candidate) > ruling.gate.minimum)
    fails = max(baseline) / min(candidate) < ruling.gate.minimum
    return ruling.standing is Standing.FAIL and bool(fails)


def _by_speed(ruling: Ruling, measurement: Measurement) -> Answer:
    gate, speedup = ruling.gate, ruling.speedup
    assert speedup is not None  # too few pairs have been answered before
    measured = f"{speedup.ratio:.2f}x over {ruling.baseline.arm} in {speedup.pairs} rounds"
    reference = measurement.quiet_reference
    if reference is not None and reference.weak:
        measured += " (quiet by the best state seen, no reference of this machine is stored)"
    match ruling.standing:
        case Standing.PASS:
            return Answer(Verdict.PASS, f"{measured}, at least {gate.minimum:g}x")
        case Standing.FAIL:
            return Answer(
                Verdict.FAIL,
                f"{measured}, below the minimum of {gate.minimum:g}x",
                "see which kernels ran in results.json, and check power limits, the host's load "
                "and the number of threads",
            )
        case Standing.TO_RECUR:
            reason = f"just below the minimum of {gate.minimum:g}x, which did not recur in fresh "
            return Answer(Verdict.INCONCLUSIVE, f"{measured}, {reason}processes", _MORE_TIME)
        case Standing.CONTRADICTORY:
            reason = f"above {gate.minimum:g}x in some processes and below it in others"
            return Answer(
                Verdict.INCONCLUSIVE,
                f"{measured}, {reason}",
                "the arm's speed depends on how memory is laid out at its launch; run it again",
            )
        case Standing.OPEN:
            reason = f"too near {gate.minimum:g}x or too noisy to decide"
            return Answer(Verdict.INCONCLUSIVE, f"{measured}, {reason}", _MORE_TIME)


def _seconds(rounds: Sequence[Round], case: RunCase) -> list[float]:
    found = (round_.seconds_per_step(case.id) for round_ in rounds)
    return [seconds for seconds in found if seconds is not None]
