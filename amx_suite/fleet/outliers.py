"""Which machines are slower than their like, figure by figure.

A figure is compared over all machines of one class, as the logarithm of a speed x. The rule is that
of robust standard deviations, one-sided::

    z = (median of x - x of the machine) / s        s = 1.4826 * MAD * n / (n - 0.8)

MAD is the median distance from the median of n machines. 1.4826 makes it the standard deviation of
a normal distribution; the last factor takes away its bias in small samples (Croux and Rousseeuw,
"Time-efficient algorithms for two highly robust estimators of scale", COMPSTAT 1992); for 5 to 9
machines it leaves up to 3 % of bias, for 10 and more 1 % (200,000 simulated samples of each size).

A machine is an outlier if z is beyond the quantile 1 - ERROR_RATE / (n * figures) of Student's t,
and if it loses more than ``LEAST_LOSS`` against the median. ``figures`` counts those of all classes
(Bonferroni), so the chance that a healthy fleet has an outlier named is at most ERROR_RATE,
whatever its size. The degrees of freedom are 0.3674 n: the MAD knows the spread as well as a
standard deviation of so many machines does (Rousseeuw and Croux, "Alternatives to the Median
Absolute Deviation", JASA 88, 1993: 36.74 % efficiency). ``least_loss`` of a figure is what stands
out then. Almost half of the machines may be slow, or fast, and hide nothing.

Of few machines the MAD knows too little: with 18 figures that spread by 2 %, a loss of 30 % would
stand out among 10 machines. So in a class of fewer than 50 the rule is that for the parts of one
machine (``core.outliers``, generalized ESD, for which 15 % is enough there), with the same chance
of a false alarm. It allows for a quarter of slow machines, and a fast one makes it blunter.
"""

from __future__ import annotations

__all__ = ["FEWEST_MACHINES", "Distribution", "Outlier", "distributions"]

import math
import statistics
from collections.abc import Mapping, Sequence

import msgspec

from amx_suite.core.outliers import ERROR_RATE, FEWEST_PEERS, LEAST_LOSS, slow_ones

#: With fewer machines in a class nothing is known of how machines differ.
FEWEST_MACHINES = FEWEST_PEERS + 1

#: A class with fewer has the rule for few machines: from here on, the other is about as sharp.
_FEW = 50

_MAD_TO_DEVIATION = 1.4826
_EFFICIENCY = 0.3674


class Outlier(msgspec.Struct, frozen=True):
    """One machine's figure that stands out: it is ``deviations`` robust ones below the median.

    ``share`` is the machine's speed over the median of its class. Where most machines have the very
    same speed there is no deviation.
    """

    machine: str
    share: float
    deviations: float | None


class Distribution(msgspec.Struct, frozen=True):
    """The speeds of one figure over the machines of a class.

    ``deviation`` is the robust standard deviation of their logarithms, None with fewer than
    ``FEWEST_MACHINES``. A machine is an outlier if it loses more than ``least_loss`` of the median,
    a share; None where the rule has no such limit.
    """

    median: float
    deviation: float | None
    least_loss: float | None
    outliers: tuple[Outlier, ...]


def distributions(speeds: Sequence[Mapping[str, float]]) -> tuple[Distribution, ...]:
    """Judge all figures of a fleet together.

    ``speeds`` has for each figure of each class the speed of every machine by its name: above 0, in
    any unit.
    """
    judged = sum(len(found) >= FEWEST_MACHINES for found in speeds)
    return tuple(_judge(found, judged) for found in speeds)


def _judge(speeds: Mapping[str, float], figures: int) -> Distribution:
    logs = {name: math.log(speed) for name, speed in speeds.items()}
    count, middle = len(logs), statistics.median(logs.values())
    if count < FEWEST_MACHINES:
        return Distribution(math.exp(middle), None, None, ())
    mad = statistics.median(abs(log - middle) for log in logs.values())
    deviation = _MAD_TO_DEVIATION * mad * count / (count - 0.8)
    if count < _FEW:
        least_loss, slow = None, list(slow_ones(speeds, comparisons=figures))
    else:
        limit = max(_quantile(count, figures) * deviation, -math.log1p(-LEAST_LOSS))
        least_loss = -math.expm1(-limit)
        slow = [name for name, log in logs.items() if middle - log > limit]
    return Distribution(
        math.exp(middle),
        deviation,
        least_loss,
        tuple(
            Outlier(
                name,
                math.exp(logs[name] - middle),
                (middle - logs[name]) / deviation if deviation else None,
            )
            for name in sorted(slow, key=lambda name: (logs[name], name))
        ),
    )


def _quantile(machines: int, figures: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(_EFFICIENCY * machines, 1 - ERROR_RATE / (machines * figures)))
