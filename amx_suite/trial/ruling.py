"""What the quiet pairs say of each gate's speed: read after every round, and again at the end.

A trial that is not settled by ``WANTED_PAIRS`` goes on until it is, so rounds that came out well
end it, and an interval that takes their number as given lies too high: with the truth 0.1 to 0.2
standard deviations of a round above the gate, the signed-rank interval of 95 % holds it in only 91
to 92 % of simulated trials (the effect: Armitage, McPherson, Rowe, "Repeated significance tests on
accumulating data", Journal of the Royal Statistical Society A 132 (1969)). So the interval of a
PASS reaches down at least as far as the gate's own e-process, which holds however the rounds were
stopped. Not where all rounds lie above the gate, nor where they are just as many as were wanted, as
both are far from it: there the interval is right as it is, and a wider one would hold the truth too
often. Nor for a FAIL, which near its gate has to recur in fresh processes, so that the first
decision does not end it. ``benchmarks/simulate_stopping.py`` finds 93 to 96 % at every distance
tried.
"""

from __future__ import annotations

__all__ = ["MIN_PAIRS", "NEAR", "WANTED_PAIRS", "Ruling", "Standing", "gates_of", "rule"]

from collections.abc import Iterable, Sequence
from enum import Enum, auto

import msgspec

from amx_suite.core.case import RunCase
from amx_suite.core.gate import Gate
from amx_suite.core.measurement import Round, pairs_in
from amx_suite.core.trial import Trial
from amx_suite.core.verdict import Speedup
from amx_suite.trial.sequential import DECISIVE, SignEvidence, e_holm, least_not_passed, weigh
from amx_suite.trial.speedup import paired_speedup

#: Pairs without which the sign e-process can decide nothing.
MIN_PAIRS = 8

#: Pairs with which a night can be compared with another: at 2.8 % noise a change of 5 % is found in
#: 96 of 100 pairs of nights that have as many, and in 37 of those with ``MIN_PAIRS``.
WANTED_PAIRS = 20

#: A FAIL within this factor of the gate may be the luck of one launch. Where code and data come to
#: lie at launch moves a program's speed by up to about a tenth (Mytkowicz, Diwan, Hauswirth,
#: Sweeney, "Producing wrong data without doing anything obviously wrong", ASPLOS 2009).
NEAR = 1.10


class Standing(Enum):
    """Where a gate stands by its speed alone."""

    PASS = auto()
    FAIL = auto()
    #: One launch says FAIL, near the gate: it must recur in fresh processes.
    TO_RECUR = auto()
    #: One launch says PASS and another FAIL, each by itself: more rounds will not reconcile them.
    CONTRADICTORY = auto()
    OPEN = auto()

    @property
    def settled(self) -> bool:
        """Whether more rounds can change nothing."""
        return self in (Standing.PASS, Standing.FAIL, Standing.CONTRADICTORY)


class Ruling(msgspec.Struct, frozen=True):
    """One gate's standing, with the e-values of all its quiet pairs behind it."""

    gate: Gate
    candidate: RunCase
    baseline: RunCase
    standing: Standing
    pairs: tuple[tuple[float, float], ...]
    signs: SignEvidence
    e_fail_session: float

    @property
    def speedup(self) -> Speedup | None:
        """The paired speedup, None without a quiet pair; see above for its interval."""
        found = paired_speedup(self.pairs)
        if found is None or found.low is None or self.standing is not Standing.PASS:
            return found
        ratios = [baseline / candidate for baseline, candidate in self.pairs]
        if min(ratios) >= self.gate.minimum or found.pairs == WANTED_PAIRS:
            return found
        return msgspec.structs.replace(found, low=min(found.low, least_not_passed(ratios)))


def gates_of(trial: Trial, gates: Iterable[Gate]) -> tuple[tuple[Gate, RunCase, RunCase], ...]:
    """The gates that judge this trial, each with its candidate and its baseline arm."""
    return tuple(
        (gate, candidate, baseline)
        for gate in gates
        for candidate in trial.arms
        if gate.covers(candidate)
        for baseline in trial.arms
        if gate.is_baseline(baseline, candidate)
    )


def rule(
    trial: Trial, gates: Iterable[Gate], rounds: Sequence[Round], elsewhere: Iterable[float] = ()
) -> tuple[Ruling, ...]:
    """A ruling on each gate of the trial, from rounds with their quiet slices alone.

    ``elsewhere`` holds the e-values for FAIL of the session's gates in other trials, 0 for those
    not yet measured.
    """
    asked = gates_of(trial, gates)
    pairs = [pairs_in(rounds, baseline.id, candidate.id) for _, candidate, baseline in asked]
    signs = [_weigh(p, gate) for p, (gate, _, _) in zip(pairs, asked, strict=True)]
    elsewhere = tuple(elsewhere)
    found = []
    for index, (gate, candidate, baseline) in enumerate(asked):
        others = [s.e_below for i, s in enumerate(signs) if i != index]
        adjusted = e_holm(signs[index].e_below, (*others, *elsewhere))
        ruling = Ruling(
            gate, candidate, baseline, Standing.OPEN, pairs[index], signs[index], adjusted
        )
        found.append(msgspec.structs.replace(ruling, standing=_standing(ruling, rounds)))
    return tuple(found)


def _standing(ruling: Ruling, rounds: Sequence[Round]) -> Standing:
    passes = ruling.signs.e_above >= DECISIVE
    fails = ruling.e_fail_session >= DECISIVE
    launches = sorted({round_.launch for round_ in rounds})
    if len(launches) == 1 and not (passes or fails):
        return Standing.OPEN
    by_launch = [_weigh(_launch_pairs(ruling, rounds, n), ruling.gate) for n in launches]
    failed = sum(signs.e_below >= DECISIVE for signs in by_launch)
    if failed and any(signs.e_above >= DECISIVE for signs in by_launch):
        return Standing.CONTRADICTORY
    if passes and not failed:
        return Standing.PASS
    if not fails:
        return Standing.OPEN
    return Standing.FAIL if failed >= 2 or not _is_near(ruling) else Standing.TO_RECUR


def _is_near(ruling: Ruling) -> bool:
    speedup = ruling.speedup
    return speedup is not None and speedup.ratio * NEAR > ruling.gate.minimum


def _launch_pairs(
    ruling: Ruling, rounds: Sequence[Round], launch: int
) -> tuple[tuple[float, float], ...]:
    chosen = [round_ for round_ in rounds if round_.launch == launch]
    return pairs_in(chosen, ruling.baseline.id, ruling.candidate.id)


def _weigh(pairs: Iterable[tuple[float, float]], gate: Gate) -> SignEvidence:
    return weigh((base / cand for base, cand in pairs), gate.minimum)
