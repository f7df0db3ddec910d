"""Whether a trial's own figures can be trusted: its twin, its probe, and the steadiness of arms."""

from __future__ import annotations

__all__ = [
    "TWIN_WITHIN",
    "UNSEEN_SHARE",
    "is_alone",
    "lying_probe",
    "slow_share",
    "twin_gap",
    "unknown_unit",
]

import math
import statistics
from collections.abc import Sequence

from amx_suite.core.case import Arm
from amx_suite.core.measurement import Measurement, Round, pairs_in, readings_of
from amx_suite.core.noise import QUIET_WITHIN, Unit
from amx_suite.core.trial import Trial
from amx_suite.trial.sequential import DECISIVE, weigh
from amx_suite.trial.speedup import paired_speedup

#: An arm and its twin may differ by this factor. Changes of 5 % are what the suite promises to
#: find, so a method that differs from itself by as much can vouch for none of them.
TWIN_WITHIN = 1.05

#: Share of the slices between two quiet readings in which a neighbour may have come and gone:
#: (slice / dwell)**2 / 2 for a slice of 1 s and a dwell of 3 s, both exponential, rounded down.
UNSEEN_SHARE = 0.05
_SIGNIFICANT = 0.001
#: Only says whom an unsteady trial is blamed on, so it need not be rare.
_MORE_THAN_CHANCE = 0.05
#: The arm's own fast speed is taken from the fastest slices, but not from a single one.
_FAST_QUANTILE = 0.1


def twin_gap(trial: Trial, rounds: Sequence[Round]) -> float | None:
    """Ratio between the twin's seconds and its arm's if they surely differ, else None.

    "Surely" means that the sign e-process decides against a difference within ``TWIN_WITHIN``.
    ``rounds`` hold quiet slices alone.
    """
    if trial.twin is None:
        return None
    pairs = pairs_in(rounds, Arm.of(trial.twin).id, trial.twin.id)
    ratios = [base / twin for base, twin in pairs]
    slower = weigh(ratios, 1 / TWIN_WITHIN).e_below
    faster = weigh(ratios, TWIN_WITHIN).e_above
    speedup = paired_speedup(pairs)
    if speedup is None or max(slower, faster) < DECISIVE:
        return None
    return 1 / speedup.ratio


def slow_share(seconds: Sequence[float]) -> float | None:
    """Share of an arm's quiet slices that were slow, if more than chance explains; else None.

    Slow is more than ``QUIET_WITHIN`` times the arm's own fast speed: between readings that were
    quiet that is the arm's doing, or a probe's that does not see what the arm sees. An exact
    binomial test against ``UNSEEN_SHARE``.
    """
    slow = _slow_slices(seconds)
    if slow == 0:
        return None
    # scipy.stats has the test by its name, and takes longer to import than a whole judgement.
    from scipy import special

    as_many_by_chance = special.bdtrc(slow - 1, len(seconds), UNSEEN_SHARE)
    return slow / len(seconds) if as_many_by_chance <= _SIGNIFICANT else None


def is_alone(seconds: Sequence[float], others: Sequence[Sequence[float]]) -> bool:
    """Whether an arm has more slow slices than the other arms of its trial, beyond chance.

    What the machine does happens to all arms, what an arm does to itself alone. Fisher's exact
    test, one-sided: the arm's slow slices among all, as many or more by chance. True where the
    others have no slice to compare with.
    """
    slow, total = _slow_slices(seconds), len(seconds)
    all_slow = slow + sum(_slow_slices(other) for other in others)
    rest = sum(len(other) for other in others)
    ways = sum(
        math.comb(all_slow, k) * math.comb(total + rest - all_slow, total - k)
        for k in range(slow, min(all_slow, total) + 1)
    )
    return rest == 0 or ways <= _MORE_THAN_CHANCE * math.comb(total + rest, total)


def _slow_slices(seconds: Sequence[float]) -> int:
    """How many are more than ``QUIET_WITHIN`` times the arm's own fast speed."""
    import numpy as np

    if not seconds:
        return 0
    fast = float(np.quantile(seconds, _FAST_QUANTILE))
    return sum(value > QUIET_WITHIN * fast for value in seconds)


def lying_probe(measurement: Measurement) -> tuple[Unit, float] | None:
    """A unit that reads faster than its stored reference allows, with its factor; None if sound.

    Nothing makes a machine faster than quiet, so the probe or the reference is wrong and "quiet"
    means nothing.
    """
    reference = measurement.reference
    readings = list(readings_of(measurement.rounds))
    if reference is None or not readings:
        return None
    for unit in reference.rates:
        factor = 1 / statistics.median(reference.shortfall(r, unit) for r in readings)
        if factor > QUIET_WITHIN:
            return unit, factor
    return None


def unknown_unit(measurement: Measurement) -> Unit | None:
    """A unit that the probe read and the reference does not know, so that nothing guards it.

    As where the reference was taken while the kernel refused tiles.
    """
    reference = measurement.reference
    if reference is None:
        return None
    read = (unit for reading in readings_of(measurement.rounds) for unit in reading.rates)
    return next((unit for unit in read if unit not in reference.rates), None)
