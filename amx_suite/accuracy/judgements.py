"""Judgements: a figure compared with its limit, unless the arrays cannot be trusted."""

from __future__ import annotations

__all__ = [
    "close",
    "cosine",
    "cosine_similarity",
    "error_ratio",
    "exact",
    "loss_gap",
    "nan_contained",
    "rmse",
    "root_mean_square",
    "rounded",
    "same",
    "signal_to_noise",
    "sqnr_db",
    "top1",
]

import math
from collections.abc import Callable, Collection
from typing import Any

import numpy as np

from amx_suite.accuracy import limits, record
from amx_suite.core.agreement import Agreement, Threshold

Array = np.ndarray[Any, Any]

#: A result is mistrusted if more than this share of its elements is zero where the reference is
#: not; in fewer elements a share means nothing (oneDNN tests/benchdnn/utils/compare.cpp).
_MOST_ZEROS, _FEWEST = 0.3, 10


def root_mean_square(array: Array) -> float:
    """Root of the mean square, in the array's unit."""
    return float(np.sqrt(np.mean(_wide(array) ** 2)))


def rmse(result: Array, reference: Array) -> float:
    """Root of the mean squared difference, in the arrays' unit."""
    return root_mean_square(result - reference)


def sqnr_db(result: Array, reference: Array) -> float:
    """Signal to quantization noise: 10 log10(sum r^2 / sum (x - r)^2) dB; infinite if equal."""
    signal = float((reference**2).sum())
    noise = float(((result - reference) ** 2).sum())
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf


def cosine(result: Array, reference: Array) -> float:
    """Cosine of the angle between the arrays as vectors; NaN if one of them is zero."""
    x, r = result.ravel(), reference.ravel()
    lengths = math.sqrt(float(x @ x)) * math.sqrt(float(r @ r))
    return float(x @ r) / lengths if lengths > 0 else math.nan


def rounded(array: Array, bits: int) -> Array:
    """FP32 numbers rounded to fewer than 24 significant bits, ties to even; finite values only."""
    dropped = np.finfo(np.float32).nmant + 1 - bits
    stored = np.ascontiguousarray(array, dtype=np.float32).view(np.uint32)
    nearest = stored + (1 << (dropped - 1)) - 1 + ((stored >> dropped) & 1)
    kept: Array = nearest & np.uint32(0xFFFFFFFF << dropped & 0xFFFFFFFF)
    return kept.view(np.float32)


def exact(result: Array, expected: Array, limit: Threshold = limits.EXACT) -> Agreement:
    """No element differs."""

    def figure(x: Array, r: Array) -> float:
        return float(np.count_nonzero(x != r))

    return _judge("elements that differ", figure, limit, expected, result)


def close(result: Array, reference: Array, rounding: limits.Rounding) -> Agreement:
    """Every element is within ``atol + rtol * |reference|``; the figure is the largest share."""
    rtol, atol = rounding.rtol, rounding.atol
    limit = Threshold(1.0, f"rtol {rtol:g}, atol {atol:g}: {rounding.source}")

    def figure(x: Array, r: Array) -> float:
        return float(np.max(np.abs(x - r) / (atol + rtol * np.abs(r))))

    return _judge("largest error in tolerances", figure, limit, reference, result)


def signal_to_noise(result: Array, reference: Array, least: Threshold) -> Agreement:
    """SQNR in dB of the worst item along axis 0, so that one bad item is not averaged away."""

    def figure(x: Array, r: Array) -> float:
        return min(map(sqnr_db, x, r))

    return _judge(
        "SQNR of the worst item", figure, least, reference, result, at_least=True, unit="dB"
    )


def cosine_similarity(result: Array, reference: Array, least: Threshold) -> Agreement:
    """Cosine of the whole arrays. Blind to a wrong scale, so never the only judgement."""
    return _judge("cosine", cosine, least, reference, result, at_least=True)


def error_ratio(result: Array, peer: Array, fp64: Array, *, floor: float) -> Agreement:
    """RMSE of the result over that of a peer of the same precision, both against FP64.

    ``floor``, above 0 and in the arrays' unit, replaces a smaller RMSE of the peer: below it
    differences mean nothing, and the peer may even be exact.
    """

    def figure(x: Array, p: Array, r: Array) -> float:
        return rmse(x, r) / max(rmse(p, r), floor)

    measure = "RMSE over the peer's RMSE"
    return _judge(measure, figure, limits.ERROR_RATIO, fp64, result, peer)


def same(result: Array, peer: Array, fp64: Array, *, scale: float | None = None) -> Agreement:
    """PyTorch CI's rule: RMSE(result) <= multiplier * RMSE(peer) + tolerance / 10, against FP64.

    There the tolerance is absolute. A large model's gradients are far smaller, so that zeros would
    pass. Here it is relative to ``scale``, in the arrays' unit: by default the reference's root
    mean square. Where the right value of a part is zero, as of the gradient of a key's bias in
    attention, ``scale`` is that of the whole. The figure is the left side over the right.
    """
    multiplier, tolerance = limits.SAME_MULTIPLIER, limits.SAME_TOLERANCE
    limit = Threshold(1.0, f"multiplier {multiplier.value:g}, {tolerance.source}")

    def figure(x: Array, p: Array, r: Array) -> float:
        unit = root_mean_square(r) if scale is None else scale
        return rmse(x, r) / (multiplier.value * rmse(p, r) + tolerance.value / 10 * unit)

    return _judge("RMSE over the allowed RMSE", figure, limit, fp64, result, peer)


def top1(result: Array, reference: Array, error: float) -> Agreement | None:
    """Share of items (axis 0) whose largest score (axis 1) is that of the reference.

    Only items count whose reference margin exceeds twice ``error``, the largest error to expect of
    a score, such as a peer's. (The result's own largest error would not do: no item that counts
    could change its answer.) None if no item counts.
    """
    two_best = np.sort(_wide(reference), axis=1)[:, -2:]
    counts = (two_best[:, 1] - two_best[:, 0]) > 2 * error
    if not counts.any():
        return None

    def figure(x: Array, r: Array) -> float:
        return float((x.argmax(axis=1) == r.argmax(axis=1))[counts].mean())

    measure = f"top-1 share of {int(counts.sum())} decided items"
    return _judge(measure, figure, limits.TOP1_SHARE, reference, result, at_least=True)


def loss_gap(losses: Array, reference: Array) -> Agreement:
    """Mean over the steps of |loss - reference| / |reference|."""

    def figure(x: Array, r: Array) -> float:
        return float(np.mean(np.abs(x - r) / np.abs(r)))

    measure = "mean relative loss gap"
    return _judge(measure, figure, limits.LOSS_GAP, reference, losses)


def nan_contained(result: Array, rows: Collection[int]) -> Agreement:
    """The given rows along axis 0 hold nothing but NaN, and all others hold none.

    The figure is the number of rows that do not.
    """
    nans = np.isnan(np.asarray(result).reshape(len(result), -1))
    wanted = np.isin(np.arange(len(nans)), list(rows))
    wrong = np.flatnonzero(np.where(wanted, ~nans.all(axis=1), nans.any(axis=1))).tolist()
    note = f"rows {wrong[:4]}" if wrong else ""
    measure = "rows wrongly with or without NaN"
    return _agreement(measure, len(wrong), limits.NAN_ROWS, note=note)


def _judge(
    measure: str,
    figure: Callable[..., float],
    limit: Threshold,
    reference: Array,
    *results: Array,
    at_least: bool = False,
    unit: str = "",
) -> Agreement:
    """Take the figure of results and reference in double precision, unless one is mistrusted."""
    mistrusted = filter(None, (_mistrusted(result, reference) for result in results))
    note = next(mistrusted, "")
    value = math.nan if note else figure(*map(_wide, results), _wide(reference))
    return _agreement(measure, value, limit, at_least=at_least, unit=unit, note=note)


def _agreement(
    measure: str,
    value: float,
    limit: Threshold,
    *,
    at_least: bool = False,
    unit: str = "",
    note: str = "",
) -> Agreement:
    """The judgement on this value, recorded: every judgement is made here."""
    # A comparison with NaN is false either way, so a NaN figure never passes.
    passed = value >= limit.value if at_least else value <= limit.value
    figure = None
    if math.isfinite(value):
        figure = float(value)
    elif not note:
        note = "no error at all" if passed else f"the figure is {value}"
    return record.note(Agreement(measure, passed, figure, limit, at_least, unit, note))


def _wide(array: Array) -> Array:
    return np.asarray(array, dtype=np.float64)


def _mistrusted(result: Array, reference: Array) -> str | None:
    """Why a comparison of these arrays would prove nothing, or None.

    Arrays of other shapes, infinities, NaNs, or zeros in the wrong place can pass a tolerance by
    accident, so they have no figure (benchdnn's MISTRUSTED).
    """
    x, r = np.asarray(result), np.asarray(reference)
    if x.shape != r.shape:
        return f"the result has shape {x.shape} and the reference {r.shape}"
    if x.size == 0:
        return "the arrays are empty"
    for name, array in (("reference", r), ("result", x)):
        if not_finite := int((~np.isfinite(array)).sum()):
            return f"{not_finite} of the {name}'s {array.size} elements are not finite"
    set_in_reference = r != 0
    if not set_in_reference.any():
        return "the reference is zero everywhere"
    zeros = float((x[set_in_reference] == 0).mean())
    if x.size >= _FEWEST and zeros > _MOST_ZEROS:
        return f"{zeros:.0%} of the elements that should not be zero are"
    return None
