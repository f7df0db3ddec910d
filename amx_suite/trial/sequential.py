"""The sign e-process, a verdict on a gate that may be read after every round; and many gates.

Each round says only whether the candidate's paired ratio lay above the gate. Under the hypothesis
that the median ratio is at most the gate, the mixture martingale below has expectation at most 1,
so by Ville's inequality it ever reaches 40 with probability at most 1/40, at any stopping time.
Source: Howard, Ramdas, McAuliffe, Sekhon, "Time-uniform, nonparametric, nonasymptotic confidence
sequences", Annals of Statistics 49 (2021), with a uniform mixture over win rates above one half.

A session asks many gates, and one false FAIL would refuse the machine. So FAIL is asked of the
e-Holm procedure over all gates of the session: the chance of any false FAIL among them is at most
1/40 as well. PASS needs no such care: a machine is accepted only if every gate passes, and a test
that demands all of its parts has the error rate of one (Berger, "Multiparameter hypothesis testing
and acceptance sampling", Technometrics 24 (1982)).
"""

from __future__ import annotations

__all__ = ["DECISIVE", "SignEvidence", "e_holm", "e_value", "least_not_passed", "weigh"]

import functools
import itertools
import math
import sys
from collections.abc import Iterable
from typing import NamedTuple

#: An e-value at which a gate is decided: an error rate of at most 1 in 40 for each gate and side.
DECISIVE = 40.0

_LARGEST = int(sys.float_info.max)


class SignEvidence(NamedTuple):
    """E-values for "above the gate" and for "below the gate"."""

    e_above: float
    e_below: float


@functools.cache
def e_value(above: int, total: int) -> float:
    """E-value for "more than half lie above" when ``above`` of ``total`` rounds did.

    ``e = 2**n * 2 * B(s+1, n-s+1) * (1 - I_{1/2}(s+1, n-s+1))`` with s above of n rounds. Of whole
    numbers the beta functions are binomial coefficients (DLMF 5.12.1 and 8.17.5): e is the sum of
    C(n+1, k) for k up to s, over (n+1) C(n, s). What no float can hold is cut off.
    """
    if not 0 <= above <= total:
        raise ValueError(f"{above} of {total} rounds is not a count")
    tail = sum(math.comb(total + 1, k) for k in range(above + 1))
    rest = (total + 1) * math.comb(total, above)
    return sys.float_info.max if tail > rest * _LARGEST else tail / rest


def weigh(ratios: Iterable[float], minimum: float) -> SignEvidence:
    """Weigh paired ratios (baseline over candidate seconds) against a gate's minimum.

    A ratio equal to the gate lies on neither side and is left out.
    """
    ratios = [ratio for ratio in ratios if ratio != minimum]
    above = sum(ratio > minimum for ratio in ratios)
    return SignEvidence(e_value(above, len(ratios)), e_value(len(ratios) - above, len(ratios)))


def least_not_passed(ratios: Iterable[float]) -> float:
    """The least gate that these ratios do not pass.

    It is the lower end of the median's confidence sequence that belongs to ``e_value``: the median
    ever lies below it with a chance of at most 1 / ``DECISIVE``, however the rounds were stopped.
    Raises ValueError without a ratio.
    """
    ordered = sorted(ratios)
    for count, ratio in enumerate(ordered, start=1):
        if e_value(len(ordered) - count, len(ordered)) < DECISIVE:
            return ratio
    raise ValueError("no ratio, no confidence sequence")


def e_holm(e_value: float, others: Iterable[float]) -> float:
    """The e-value adjusted for the others of its family; those not yet measured count 0.

    Closed testing with the mean as the test of each intersection, so
    ``min over i of (e + the i smallest others) / (1 + i)``: never above the e-value itself, and it
    only grows as the others do, so that a gate once decided stays decided. Source: Vovk, Wang,
    "E-values: calibration, combination and applications", Annals of Statistics 49 (2021), section
    on multiple testing; at any stopping time: Hartog, Lei, "Family-wise error rate control with
    e-values" (2025), arXiv:2501.09015.
    """
    totals = itertools.accumulate(sorted(others), initial=e_value)
    return min(total / (1 + index) for index, total in enumerate(totals))
