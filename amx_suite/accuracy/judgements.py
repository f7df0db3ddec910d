"""Judgements: a figure held against its limit, unless the arrays cannot be trusted."""

from __future__ import annotations

__all__ = [
    "Agreement",
    "close",
    "cosine_similarity",
    "error_ratio",
    "exact",
    "loss_gap",
    "nan_contained",
    "repeated",
    "same",
    "signal_to_noise",
    "top1",
]

import math
from collections.abc import Callable, Collection

import msgspec

from amx_suite.accuracy import limits
from amx_suite.accuracy.figures import (
    Array,
    cosine,
    mistrusted,
    rmse,
    root_mean_square,
    sqnr_db,
    wide,
)
from amx_suite.accuracy.limits import Threshold


class Agreement(msgspec.Struct, frozen=True):
    """A judgement: the figure, the limit it was held against, and the limit's source.

    ``figure`` is NaN where the arrays could not be trusted; ``note`` then says why.
    """

    measure: str
    passed: bool
    figure: float
    threshold: float
    source: str
    note: str = ""

    @property
    def sentence(self) -> str:
        """One line for an assertion message or a report."""
        verdict = "passes" if self.passed else "fails"
        note = f": {self.note}" if self.note else ""
        return (
            f"{self.measure} {verdict} with {self.figure:.6g} against {self.threshold:g} "
            f"({self.source}){note}"
        )


def exact(result: Array, expected: Array) -> Agreement:
    """No element differs. For fills whose every sum the format holds exactly."""

    def figure() -> float:
        return float((wide(result) != wide(expected)).sum())

    return _judge("elements that differ", figure, limits.EXACT, _at_most, (result, expected))


def repeated(first: Array, second: Array) -> Agreement:
    """The same bits twice: one arm's run and rerun at a fixed thread count."""

    def figure() -> float:
        return float((wide(first).view("u8") != wide(second).view("u8")).sum())

    return _judge("elements whose bits differ", figure, limits.RERUN, _at_most, (first, second))


def close(
    result: Array,
    reference: Array,
    rtol: Threshold = limits.BF16_RTOL,
    atol: Threshold = limits.BF16_ATOL,
) -> Agreement:
    """Every element within ``atol + rtol * |reference|``; the figure is the worst in those."""
    import numpy as np

    source = f"rtol {rtol.value:g}, atol {atol.value:g}: {rtol.source}"

    def figure() -> float:
        r = wide(reference)
        return float(np.max(np.abs(wide(result) - r) / (atol.value + rtol.value * np.abs(r))))

    limit = Threshold(1.0, source)
    return _judge("largest error in tolerances", figure, limit, _at_most, (result, reference))


def signal_to_noise(result: Array, reference: Array, least: Threshold) -> Agreement:
    """SQNR in dB of the worst item along axis 0, so that one bad item is not averaged away."""

    def figure() -> float:
        return min(sqnr_db(x, r) for x, r in zip(wide(result), wide(reference), strict=True))

    return _judge("SQNR in dB of the worst item", figure, least, _at_least, (result, reference))


def cosine_similarity(
    result: Array, reference: Array, least: Threshold = limits.BF16_COSINE
) -> Agreement:
    """Cosine of the whole arrays. Blind to a wrong scale, so never the only judgement."""

    def figure() -> float:
        return cosine(result, reference)

    return _judge("cosine", figure, least, _at_least, (result, reference))


def error_ratio(
    result: Array,
    peer: Array,
    arbiter: Array,
    *,
    floor: float,
    most: Threshold = limits.ERROR_RATIO,
) -> Agreement:
    """RMSE of the result over that of a peer of the same precision, both against the arbiter.

    ``floor`` is the RMSE below which differences mean nothing, in the arrays' unit and above 0: it
    stands in for the peer's where that is smaller, as where the peer happens to be exact.
    """

    def figure() -> float:
        return rmse(result, arbiter) / max(rmse(peer, arbiter), floor)

    compared = (result, arbiter), (peer, arbiter)
    return _judge("RMSE over the peer's RMSE", figure, most, _at_most, *compared)


def same(
    result: Array,
    peer: Array,
    arbiter: Array,
    *,
    scale: float | None = None,
    multiplier: Threshold = limits.SAME_MULTIPLIER,
    tolerance: Threshold = limits.SAME_TOLERANCE,
) -> Agreement:
    """PyTorch CI's rule: RMSE(result) <= multiplier * RMSE(peer) + tolerance / 10, against FP64.

    There the tolerance is absolute; a large model's gradients are far smaller than it, and zeros
    would pass. Here it is relative to ``scale``, in the arrays' unit: the arbiter's root mean
    square, or that of the whole of which the arrays are a part, where a part's right value is zero
    (as is the gradient of a key's bias in attention). The figure is the left side over the right.
    """
    limit = Threshold(1.0, f"multiplier {multiplier.value:g}, {tolerance.source}")

    def figure() -> float:
        unit = root_mean_square(arbiter) if scale is None else scale
        allowed = multiplier.value * rmse(peer, arbiter) + tolerance.value / 10 * unit
        return rmse(result, arbiter) / allowed

    compared = (result, arbiter), (peer, arbiter)
    return _judge("RMSE over the allowed RMSE", figure, limit, _at_most, *compared)


def top1(
    result: Array, reference: Array, error: float, least: Threshold = limits.TOP1_SHARE
) -> Agreement | None:
    """Share of items (axis 0) whose largest score (axis 1) is that of the reference.

    Only items count whose reference margin exceeds twice ``error``, an error that is *expected* of
    a score, such as a peer's largest. (With the result's own largest error the check could not
    fail: no item that counts can change its answer.) None if no item counts.
    """
    import numpy as np

    two_best = np.sort(wide(reference), axis=1)[:, -2:]
    counts = (two_best[:, 1] - two_best[:, 0]) > 2 * error
    if not counts.any():
        return None

    def figure() -> float:
        agree = wide(result).argmax(axis=1) == wide(reference).argmax(axis=1)
        return float(agree[counts].mean())

    measure = f"top-1 share of {int(counts.sum())} decided items"
    return _judge(measure, figure, least, _at_least, (result, reference))


def loss_gap(losses: Array, reference: Array, most: Threshold = limits.LOSS_GAP) -> Agreement:
    """Mean over the steps of |loss - reference| / |reference|."""
    import numpy as np

    def figure() -> float:
        r = wide(reference)
        return float(np.mean(np.abs(wide(losses) - r) / np.abs(r)))

    return _judge("mean relative loss gap", figure, most, _at_most, (losses, reference))


def nan_contained(result: Array, rows: Collection[int]) -> Agreement:
    """Of the rows along axis 0, exactly the given ones hold NaN, and they hold nothing else.

    The figure counts the rows for which that is not so.
    """
    import numpy as np

    nans = np.isnan(np.asarray(result).reshape(len(result), -1))
    wrong = [
        row
        for row, found in enumerate(nans)
        if not (found.all() if row in rows else not found.any())
    ]
    return Agreement(
        "rows wrongly with or without NaN",
        not wrong,
        float(len(wrong)),
        limits.NAN_ROWS.value,
        limits.NAN_ROWS.source,
        f"rows {wrong[:4]}" if wrong else "",
    )


def _at_least(figure: float, threshold: float) -> bool:
    return figure >= threshold


def _at_most(figure: float, threshold: float) -> bool:
    return figure <= threshold


def _judge(
    measure: str,
    figure: Callable[[], float],
    limit: Threshold,
    is_within: Callable[[float, float], bool],
    *compared: tuple[Array, Array],
) -> Agreement:
    """Take the figure, unless one of the compared (result, reference) pairs is mistrusted."""
    for result, reference in compared:
        if (reason := mistrusted(result, reference)) is not None:
            return Agreement(measure, False, math.nan, limit.value, limit.source, reason)
    value = figure()
    # A comparison with NaN is false either way, so a NaN figure never passes.
    return Agreement(measure, is_within(value, limit.value), value, limit.value, limit.source)
