"""Which of some equal parts of the machine, CPUs or instances, are slower than the others.

The rule is the generalized ESD test (Rosner, "Percentage Points for a Generalized ESD Many-Outlier
Procedure", Technometrics 25, 1983; NIST/SEMATECH e-Handbook, section 1.3.5.17.3), one-sided and
written with deleted residuals. The slowest part is judged against all that are faster, its peers::

    t = (mean of the peers - its rate) / (their standard deviation * sqrt(1 + 1 / peers))

It stands out if t is beyond the quantile 1 - ERROR_RATE / (peers + 1) of Student's t with peers - 1
degrees of freedom. It is then taken away, and the next slowest is judged, up to a quarter of all
parts; the last one that stands out is slow, and so is every slower one. So several slow parts
cannot hide each other, and the chance of a false alarm is that of a machine, whatever its size. A
part that is much faster than the others widens the spread, and may hide a slow one.
"""

from __future__ import annotations

__all__ = ["ERROR_RATE", "FEWEST_PEERS", "LEAST_LOSS", "judge_outliers", "slow_ones"]

import math
from collections.abc import Mapping
from typing import TypeVar

from amx_suite.core.verdict import Decision, Verdict

#: The chance that a machine without a slow part has one named.
ERROR_RATE = 0.01
#: With fewer peers nothing is known of how parts differ.
FEWEST_PEERS = 4
#: Where parts hardly differ any difference stands out; a loss below this is no finding.
LEAST_LOSS = 0.05
_MOST_SLOW = 4  # one in

_Key = TypeVar("_Key")


def slow_ones(rates: Mapping[_Key, float], *, comparisons: int = 1) -> dict[_Key, float]:
    """The parts whose rate stands out below the others', with their share of the others' median.

    ``comparisons`` is how often the same machine is judged in one test: these share the error rate.
    None of fewer than ``FEWEST_PEERS`` + 1 parts, and none that loses less than ``LEAST_LOSS``.
    """
    if len(rates) <= FEWEST_PEERS:
        return {}
    import numpy as np
    from scipy.special import stdtrit

    ordered = sorted(rates, key=lambda key: rates[key])
    values = np.array([rates[key] for key in ordered])
    found = 0
    for index in range(len(ordered) // _MOST_SLOW):
        peers = values[index + 1 :]
        error_rate = ERROR_RATE / comparisons / (len(peers) + 1)
        quantile = stdtrit(len(peers) - 1, 1 - error_rate)
        spread = peers.std(ddof=1) * math.sqrt(1 + 1 / len(peers))
        if values[index] < peers.mean() - quantile * spread:
            found = index + 1
    usual = float(np.median(values[found:])) if found else 0.0
    shares = {key: rates[key] / usual for key in ordered[:found]}
    return {key: share for key, share in shares.items() if share < 1 - LEAST_LOSS}


def judge_outliers(slow: Mapping[str, float], *, virtual: bool) -> Decision:
    """The verdict on slow parts: their names, with their share of what the others reach.

    On bare metal they are a FAIL. In a guest (``virtual``) they are INCONCLUSIVE: another guest on
    the same core is invisible from here.
    """
    if not slow:
        return Decision(Verdict.PASS, "no slow one")
    reason = "slower than the others: " + ", ".join(
        f"{name} at {share:.0%} of their median" for name, share in slow.items()
    )
    if virtual:
        remedy = "another guest may hold these cores: run it again, or on the host itself"
        return Decision(Verdict.INCONCLUSIVE, reason, remedy)
    remedy = "see what else runs there, cooling and power limits, and run it again"
    return Decision(Verdict.FAIL, reason, remedy)
