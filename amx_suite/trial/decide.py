"""The decision, in five sentences.

1. A round times every arm once, in random order. Before each slice the trial waits until the units
   that its arms use (tiles, FMA, memory) are quiet, reads them again afterwards, and repeats the
   slice if they are not.
2. Only quiet rounds count. A launch ends with ``ROUNDS`` of them, or when its budget is spent; one
   that lacks nothing but time may go on for ``MOST_BUDGETS`` budgets until it has ``LEAST_ROUNDS``.
   Nothing that stops or repeats a measurement looks at the speedup.
3. Each speedup is the Hodges-Lehmann estimate of the rounds' log ratios, with its exact signed-rank
   99 % interval.
4. PASS: ``LEAST_ROUNDS`` or more, and the interval lies at or above the minimum. FAIL:
   ``LEAST_ROUNDS`` or more, the interval lies below the minimum, and one second launch in fresh
   processes, of the same length, says so too.
5. Anything else is INCONCLUSIVE and says what it lacked.

Evidence comes before the numbers: NO_EVIDENCE however fast an arm was, NOT_APPLICABLE where the
engine does not have it. If a neighbour never leaves, a unit only looks slower than its theory. On
the tile unit such a neighbour slows the AMX arm, so no FAIL rests on that unit; on FMA he slows the
baseline, so no PASS does.

``measure`` carries out 1 and 2, ``interval`` is 3, and this module 4 and 5.
"""

from __future__ import annotations

__all__ = [
    "LEAST_ROUNDS",
    "MOST_BUDGETS",
    "MOST_LOST",
    "ROUNDS",
    "SHOWN_ROUNDS",
    "Judged",
    "decide",
    "gates_of",
    "judge",
    "speaks_against",
]

from collections.abc import Iterable, Mapping, Sequence

from amx_suite.core.case import Arm, RunCase
from amx_suite.core.evidence import Evidence
from amx_suite.core.gate import Gate
from amx_suite.core.measurement import Measurement, lost_share
from amx_suite.core.quiet import Reference
from amx_suite.core.trial import Trial
from amx_suite.core.units import Unit
from amx_suite.core.verdict import Decision, GateResult, Lack, Speedup, Verdict
from amx_suite.errors import MachineChangedError
from amx_suite.trial.interval import paired_speedup
from amx_suite.trial.unproven import why_beyond_ceiling, why_unproven

#: Quiet rounds that end a launch. With 12 the 99 % interval leaves out 7 Walsh averages at each
#: end, so that an odd round does not spoil it.
ROUNDS = 12

#: Rounds of a launch on a machine without AMX, where every speedup is shown and none is judged:
#: so it waits for no quiet.
SHOWN_ROUNDS = 5

#: Quiet rounds without which nothing is decided: with 10 the interval leaves out 3, with 8 none.
LEAST_ROUNDS = 10

#: Budgets that a launch may take if it lacks nothing but time.
MOST_BUDGETS = 3.0

#: A launch lacks quiet, and not only time, if more than this share of it went into waiting.
MOST_LOST = 0.25

_MORE_TIME = "give the trial more time with --amx-budget"


#: A gate with its candidate and its baseline arm.
Judged = tuple[Gate, Arm, Arm]


def gates_of(trial: Trial, gates: Iterable[Gate]) -> tuple[Judged, ...]:
    """The gates that judge this trial, each with its candidate and its baseline arm.

    Of several gates that cover an arm and its baseline the last one counts.
    """
    found = {
        (candidate, gate.versus): (gate, candidate, baseline)
        for gate in gates
        for candidate in trial.arms
        if gate.covers(candidate)
        for baseline in trial.arms
        if gate.versus.is_baseline(baseline, candidate)
    }
    return tuple(found.values())


def judge(judged: Judged, measurement: Measurement, missing: Mapping[str, str]) -> GateResult:
    """The verdict on one gate of a trial, from stored values alone.

    ``missing`` maps the ids of arms that did not run to the reasons.
    """
    gate, candidate, baseline = judged
    first, second = (
        paired_speedup(measurement.pairs(baseline.id, candidate.id, launch)) for launch in (0, 1)
    )
    verdict, reason, remedy, lack = (
        _before_numbers((candidate, baseline), measurement, missing, gate.amx_share)
        or decide(first, second, gate.minimum, measurement.reference)
        or _too_few_rounds(first.pairs if first else 0, measurement)
    )
    both = candidate.id, baseline.id
    return GateResult(gate, *both, verdict, reason, remedy, first, second, lack)


def decide(
    first: Speedup | None, second: Speedup | None, minimum: float, reference: Reference | None
) -> Decision | None:
    """Sentence 4 on the speedups of both launches; None where it does not apply."""
    if first is None or first.pairs < LEAST_ROUNDS or first.low is None:
        return None
    text = _text(first)
    if first.low >= minimum:
        text += f", at least {minimum:g}x"
        return _unknown(reference, Verdict.PASS, text) or Decision(Verdict.PASS, text)
    if not speaks_against(first, minimum):
        return _open(
            Lack.DISTANCE,
            f"{text}, too near the minimum of {minimum:g}x to tell",
            "run it again; if it stays so, this machine is as fast as the minimum, no more",
        )
    text += f", below the minimum of {minimum:g}x"
    if not speaks_against(second, minimum):
        found = "was not measured" if second is None else f"says {_text(second)}"
        return _open(
            Lack.AGREEMENT,
            f"{text}, but a second launch in fresh processes {found}",
            "run it again; where it recurs, speed depends on how memory is laid out at launch",
        )
    return _unknown(reference, Verdict.FAIL, text) or Decision(
        Verdict.FAIL,
        f"{text}; a second launch says so too",
        "see which kernels ran in results.json, and check power limits, the host's load and the "
        "number of cores",
    )


def speaks_against(speedup: Speedup | None, minimum: float) -> bool:
    """Whether a launch has enough rounds and its interval lies below the minimum."""
    if speedup is None or speedup.high is None:
        return False
    return speedup.pairs >= LEAST_ROUNDS and speedup.high < minimum


def _before_numbers(
    both: Sequence[RunCase],
    measurement: Measurement,
    missing: Mapping[str, str],
    least_share: float,
) -> Decision | None:
    """The decision where speed does not matter: not there, not proven, or not judged."""
    for case in both:
        if case.id in missing:
            return Decision(Verdict.NOT_APPLICABLE, f"{case.arm}: {missing[case.id]}")
    for case in both:
        if case.id in measurement.beyond_ceiling:
            return why_beyond_ceiling(case, measurement.beyond_ceiling[case.id])
    if measurement.changed:
        return _open(Lack.STABILITY, measurement.changed, MachineChangedError.remedy)
    evidence = {facts.case.id: facts.evidence for facts in measurement.arms}
    if not measurement.rounds or not all(case.id in evidence for case in both):
        return _open(Lack.TIME, "no round was taken", _MORE_TIME)
    proofs = []
    for case in both:
        proof = evidence[case.id]
        if proof is None:
            return _open(
                Lack.TIME, f"no evidence of {case.arm} was taken", "run it again, to its end"
            )
        if unproven := why_unproven(case, proof, least_share):
            return unproven
        proofs.append(proof)
    if differing := _speculation(proofs):
        return _open(
            Lack.EQUALITY,
            f"the kernel keeps the two processes from speculating in different ways ({differing}), "
            "and so slows one of them",
            "start Linux with spec_store_bypass_disable=prctl spectre_v2_user=prctl, the defaults "
            "since 5.16",
        )
    if measurement.reference is None:
        return _open(
            Lack.REFERENCE,
            "nothing told quiet from busy, as the machine's units were not read",
            "run it without --benchmark-disable and without a CPU quota below 1, on a CPU with "
            "AVX-512 or AVX2",
        )
    return None


def _speculation(both: Sequence[Evidence]) -> str:
    """What is forbidden to one process and not to the other; empty if nothing is."""
    found = [evidence.speculation for evidence in both]
    names = sorted({name for each in found for name in each})
    return "; ".join(
        f"{name}: {' and '.join(repr(each.get(name, '')) for each in found)}"
        for name in names
        if len({each.get(name) for each in found}) > 1
    )


def _too_few_rounds(found: int, measurement: Measurement) -> Decision:
    rounds, reference = measurement.launch(0), measurement.reference
    seconds = sum(round_.seconds for round_ in rounds)
    reason = f"{found} quiet rounds in {seconds:.0f} s, and {LEAST_ROUNDS} are needed"
    lost = lost_share(rounds)
    if lost <= MOST_LOST:
        return _open(Lack.TIME, reason, _MORE_TIME)
    reason += f"; {lost:.0%} of the time went into waiting for quiet"
    readings = [
        reading
        for round_ in rounds
        for piece in (*round_.slices, *round_.disturbed)
        for reading in piece.readings
    ]
    busiest = reference and reference.busiest(readings)
    if busiest:
        reason += f": others used the {busiest[0]} unit and left down to {busiest[1]:.0%} of it"
    return _open(
        Lack.QUIET,
        reason,
        "stop what else runs here, or on the host of this guest, and run it again",
    )


def _unknown(reference: Reference | None, verdict: Verdict, text: str) -> Decision | None:
    """Why a verdict cannot rest on a reference below theory; None where it can."""
    below = {} if reference is None else reference.below
    for unit, share in below.items():
        if (unit is Unit.TILE) is (verdict is Verdict.FAIL):
            return _open(
                Lack.REFERENCE,
                f"{text}, but the {unit} unit never gave more than {share:.0%} of its theory, so "
                "a neighbour may have been there all the time",
                "run amx-suite calibrate when the host is quieter",
            )
    return None


def _open(lack: Lack, reason: str, remedy: str) -> Decision:
    return Decision(Verdict.INCONCLUSIVE, reason, remedy, lack)


def _text(speedup: Speedup) -> str:
    return f"{speedup} in {speedup.pairs} rounds"
