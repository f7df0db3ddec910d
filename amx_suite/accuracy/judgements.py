"""Judgements: a figure compared with its limit, unless the arrays cannot be trusted."""

from __future__ import annotations

__all__ = [
    "Agreement",
    "close",
    "cosine_similarity",
    "error_ratio",
    "exact",
    "loss_gap",
    "nan_contained",
    "same",
    "signal_to_noise",
    "top1",
]

import math
import operator
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
    """A judgement: the figure, the limit and its source.

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


def exact(result: Array, expected: Array, limit: Threshold = limits.EXACT) -> Agreement:
    """No element differs."""
    return _judge(
        "elements that differ",
        lambda: float((wide(result) != wide(expected)).sum()),
        operator.le,
        limit,
        (result, expected),
    )


def close(result: Array, reference: Array, rounding: limits.Rounding) -> Agreement:
    """Every element is within ``atol + rtol * |reference|``; the figure is the largest share."""
    import numpy as np

    rtol, atol = rounding.rtol, rounding.atol
    limit = Threshold(1.0, f"rtol {rtol.value:g}, atol {atol.value:g}: {rtol.source}")

    def figure() -> float:
        r = wide(reference)
        return float(np.max(np.abs(wide(result) - r) / (atol.value + rtol.value * np.abs(r))))

    return _judge("largest error in tolerances", figure, operator.le, limit, (result, reference))


def signal_to_noise(result: Array, reference: Array, least: Threshold) -> Agreement:
    """SQNR in dB of the worst item along axis 0, so that one bad item is not averaged away."""

    def figure() -> float:
        return min(sqnr_db(x, r) for x, r in zip(wide(result), wide(reference), strict=True))

    return _judge("SQNR in dB of the worst item", figure, operator.ge, least, (result, reference))


def cosine_similarity(result: Array, reference: Array, least: Threshold) -> Agreement:
    """Cosine of the whole arrays. Blind to a wrong scale, so never the only judgement."""
    return _judge(
        "cosine", lambda: cosine(result, reference), operator.ge, least, (result, reference)
    )


def error_ratio(result: Array, peer: Array, fp64: Array, *, floor: float) -> Agreement:
    """RMSE of the result over that of a peer of the same precision, both against FP64.

    ``floor``, above 0 and in the arrays' unit, replaces a smaller RMSE of the peer: below it
    differences mean nothing, and the peer may even be exact.
    """
    return _judge(
        "RMSE over the peer's RMSE",
        lambda: rmse(result, fp64) / max(rmse(peer, fp64), floor),
        operator.le,
        limits.ERROR_RATIO,
        (result, fp64),
        (peer, fp64),
    )


def same(result: Array, peer: Array, fp64: Array, *, scale: float | None = None) -> Agreement:
    """PyTorch CI's rule: RMSE(result) <= multiplier * RMSE(peer) + tolerance / 10, against FP64.

    There the tolerance is absolute. A large model's gradients are far smaller, so that zeros would
    pass. Here it is relative to ``scale``, in the arrays' unit: by default the reference's root
    mean square. Where the right value of a part is zero, as of the gradient of a key's bias in
    attention, ``scale`` is that of the whole. The figure is the left side over the right.
    """
    multiplier, tolerance = limits.SAME_MULTIPLIER, limits.SAME_TOLERANCE

    def figure() -> float:
        unit = root_mean_square(fp64) if scale is None else scale
        allowed = multiplier.value * rmse(peer, fp64) + tolerance.value / 10 * unit
        return rmse(result, fp64) / allowed

    limit = Threshold(1.0, f"multiplier {multiplier.value:g}, {tolerance.source}")
    return _judge(
        "RMSE over the allowed RMSE", figure, operator.le, limit, (result, fp64), (peer, fp64)
    )


def top1(result: Array, reference: Array, error: float) -> Agreement | None:
    """Share of items (axis 0) whose largest score (axis 1) is that of the reference.

    Only items count whose reference margin exceeds twice ``error``, the largest error to expect of
    a score, such as a peer's. (The result's own largest error would not do: no item that counts
    could change its answer.) None if no item counts.
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
    return _judge(measure, figure, operator.ge, limits.TOP1_SHARE, (result, reference))


def loss_gap(losses: Array, reference: Array) -> Agreement:
    """Mean over the steps of |loss - reference| / |reference|."""
    import numpy as np

    def figure() -> float:
        r = wide(reference)
        return float(np.mean(np.abs(wide(losses) - r) / np.abs(r)))

    return _judge(
        "mean relative loss gap", figure, operator.le, limits.LOSS_GAP, (losses, reference)
    )


def nan_contained(result: Array, rows: Collection[int]) -> Agreement:
    """The given rows along axis 0 hold nothing but NaN, and all others hold none.

    The figure is the number of rows that do not.
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


def _judge(
    measure: str,
    figure: Callable[[], float],
    is_within: Callable[[float, float], bool],
    limit: Threshold,
    *compared: tuple[Array, Array],
) -> Agreement:
    """Take the figure, unless one of the compared (result, reference) pairs is mistrusted."""
    for result, reference in compared:
        if (reason := mistrusted(result, reference)) is not None:
            return Agreement(measure, False, math.nan, limit.value, limit.source, reason)
    value = figure()
    # A comparison with NaN is false either way, so a NaN figure never passes.
    return Agreement(measure, is_within(value, limit.value), value, limit.value, limit.source)
