"""How near one array is to another, and whether that is near enough.

Floor 1, beside the engines and workloads: it knows arrays and nothing else, so the tests of
operators, of models and a script of the user's own judge by the same figures. numpy only, imported
when a measure is taken; everything is computed in double precision.

Each judgement first asks whether the arrays can be trusted at all. Arrays that are not finite, of
another shape, or zero where they should not be have no figure and never pass, whatever a tolerance
would say of them (benchdnn's MISTRUSTED).
"""

from __future__ import annotations

__all__ = [
    "Agreement",
    "Threshold",
    "close",
    "cosine",
    "cosine_similarity",
    "error_ratio",
    "exact",
    "loss_gap",
    "nan_contained",
    "repeated",
    "rmse",
    "same",
    "signal_to_noise",
    "sqnr_db",
    "top1",
]

import math
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]

#: Of the elements that should not be zero, the share that may be before a result is mistrusted;
#: benchdnn trusts no result with less than 30 % of its elements set.
_MOST_ZEROS = 0.7


class Threshold(msgspec.Struct, frozen=True):
    """A limit and where it is from."""

    value: float
    source: str


#: SQNR in dB and cosine of a whole network's BF16 outputs against FP32.
BF16_SQNR_DB = Threshold(30.0, "ours: 38 to 45 dB seen on ResNet50 and BERT-base")
BF16_COSINE = Threshold(0.999, "ours: the cosine of 27 dB")
#: SQNR in dB of a whole network's INT8 outputs against FP32.
INT8_SQNR_DB = Threshold(20.0, "ours: 30 to 33 dB seen on ResNet50 and BERT-base")
#: SQNR in dB of INT8 with AMX against INT8 without, from the same quantized graph.
INT8_PEER_SQNR_DB = Threshold(60.0, "ours: integer sums are exact, only FP32 rescaling differs")
#: RMSE with AMX over RMSE without, same precision, both against FP64.
ERROR_RATIO = Threshold(1.25, "ours: accumulation order differs, precision does not")
#: Relative and absolute tolerance of BF16 operators.
BF16_RTOL = Threshold(1.6e-2, "torch.testing.assert_close, default for bfloat16")
BF16_ATOL = Threshold(1e-5, "torch.testing.assert_close, default for bfloat16")
#: Multiplier on the reference's own RMSE, and the tolerance of which a tenth is added.
SAME_MULTIPLIER = Threshold(3.0, "torch/_dynamo/utils.py, same(): low precision")
SAME_TOLERANCE = Threshold(1e-2, "torch/_dynamo/utils.py, same(): tol of training in PyTorch's CI")
#: Share of top-1 answers that must be those of FP32.
TOP1_SHARE = Threshold(0.99, "MLPerf Inference, constants.py: 99 % of the FP32 accuracy")
#: Mean relative gap of the losses over the same steps.
LOSS_GAP = Threshold(0.01, "ours, after SuperBench's rule for training losses")


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


def rmse(result: Array, reference: Array) -> float:
    """Root of the mean squared difference."""
    import numpy as np

    difference = _wide(result) - _wide(reference)
    return float(np.sqrt(np.mean(difference * difference)))


def sqnr_db(result: Array, reference: Array) -> float:
    """Signal to quantization noise: 10 log10(sum r^2 / sum (x - r)^2); infinite if equal."""
    signal = float((_wide(reference) ** 2).sum())
    noise = float(((_wide(result) - _wide(reference)) ** 2).sum())
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf


def cosine(result: Array, reference: Array) -> float:
    """Cosine of the angle between the arrays as vectors; NaN if one of them is zero."""
    x, r = _wide(result).ravel(), _wide(reference).ravel()
    lengths = math.sqrt(float(x @ x)) * math.sqrt(float(r @ r))
    return float(x @ r) / lengths if lengths > 0 else math.nan


def exact(result: Array, expected: Array) -> Agreement:
    """No element differs. For fills whose every sum the format holds exactly."""
    zero = Threshold(0.0, "oneDNN benchdnn, matmul/cfg.cpp: integer fills with exact sums")

    def figure() -> float:
        return float((_wide(result) != _wide(expected)).sum())

    return _judge("elements that differ", figure, zero, _at_most, (result, expected))


def repeated(first: Array, second: Array) -> Agreement:
    """The same bits twice: one arm's run and rerun at a fixed thread count."""
    zero = Threshold(0.0, "ours: an oneDNN or ATen kernel at fixed threads is deterministic")

    def figure() -> float:
        return 0.0 if _wide(first).tobytes() == _wide(second).tobytes() else 1.0

    return _judge("reruns that differ", figure, zero, _at_most, (first, second))


def close(
    result: Array,
    reference: Array,
    rtol: Threshold = BF16_RTOL,
    atol: Threshold = BF16_ATOL,
) -> Agreement:
    """Every element within ``atol + rtol * |reference|``; the figure is the worst, in such units."""
    import numpy as np

    source = f"rtol {rtol.value:g}, atol {atol.value:g}: {rtol.source}"

    def figure() -> float:
        r = _wide(reference)
        return float(np.max(np.abs(_wide(result) - r) / (atol.value + rtol.value * np.abs(r))))

    return _judge(
        "largest error in tolerances", figure, Threshold(1.0, source), _at_most, (result, reference)
    )


def signal_to_noise(result: Array, reference: Array, least: Threshold) -> Agreement:
    """SQNR in dB of the worst item along axis 0, so that one bad item is not averaged away."""

    def figure() -> float:
        pairs = zip(_wide(result), _wide(reference), strict=True)
        return min(sqnr_db(x, r) for x, r in pairs)

    return _judge("SQNR in dB of the worst item", figure, least, _at_least, (result, reference))


def cosine_similarity(
    result: Array, reference: Array, least: Threshold = BF16_COSINE
) -> Agreement:
    """Cosine of the whole arrays."""
    return _judge(
        "cosine", lambda: cosine(result, reference), least, _at_least, (result, reference)
    )


def error_ratio(
    result: Array, peer: Array, arbiter: Array, *, floor: float, most: Threshold = ERROR_RATIO
) -> Agreement:
    """RMSE of the result over that of a peer of the same precision, both against the arbiter.

    ``floor`` is the RMSE below which differences mean nothing, in the arrays' unit: it stands in
    for the peer's where that is smaller, as where the peer happens to be exact.
    """

    def figure() -> float:
        mine, theirs = rmse(result, arbiter), max(rmse(peer, arbiter), floor)
        if theirs > 0:
            return mine / theirs
        return math.inf if mine > 0 else 1.0

    return _judge(
        "RMSE over the peer's RMSE", figure, most, _at_most, (result, arbiter), (peer, arbiter)
    )


def same(
    result: Array,
    peer: Array,
    arbiter: Array,
    multiplier: Threshold = SAME_MULTIPLIER,
    tolerance: Threshold = SAME_TOLERANCE,
) -> Agreement:
    """PyTorch CI's rule: RMSE(result) <= multiplier * RMSE(peer) + tolerance / 10, against FP64.

    There the tolerance is absolute. Gradients of a large model are far smaller than it, and zeros
    would pass; here it is relative to the arbiter's root mean square, which is never more lenient
    for arrays below 1. The figure is the left side over the right side.
    """
    import numpy as np

    limit = Threshold(1.0, f"multiplier {multiplier.value:g}, {tolerance.source}")

    def figure() -> float:
        scale = min(1.0, float(np.sqrt(np.mean(_wide(arbiter) ** 2))))
        allowed = multiplier.value * rmse(peer, arbiter) + tolerance.value / 10 * scale
        return rmse(result, arbiter) / allowed

    return _judge(
        "RMSE over the allowed RMSE", figure, limit, _at_most, (result, arbiter), (peer, arbiter)
    )


def top1(
    result: Array, reference: Array, error: float, least: Threshold = TOP1_SHARE
) -> Agreement | None:
    """Share of items (axis 0) whose largest score (axis 1) is that of the reference.

    Only items count whose reference margin exceeds twice ``error``, an error that is *expected* of
    a score, such as a peer's largest. (With the result's own largest error the check could not
    fail: no item that counts can change its answer.) None if no item counts.
    """
    import numpy as np

    two_best = np.sort(_wide(reference), axis=1)[:, -2:]
    counts = (two_best[:, 1] - two_best[:, 0]) > 2 * error
    if not counts.any():
        return None

    def figure() -> float:
        agree = _wide(result).argmax(axis=1) == _wide(reference).argmax(axis=1)
        return float(agree[counts].mean())

    return _judge(
        f"top-1 share of {int(counts.sum())} decided items",
        figure,
        least,
        _at_least,
        (result, reference),
    )


def loss_gap(losses: Array, reference: Array, most: Threshold = LOSS_GAP) -> Agreement:
    """Mean over the steps of |loss - reference| / |reference|."""
    import numpy as np

    def figure() -> float:
        r = _wide(reference)
        return float(np.mean(np.abs(_wide(losses) - r) / np.abs(r)))

    return _judge("mean relative loss gap", figure, most, _at_most, (losses, reference))


def nan_contained(result: Array, rows: Collection[int]) -> Agreement:
    """Of the rows along axis 0, exactly the given ones hold NaN, and they hold nothing else.

    The figure counts the rows for which that is not so.
    """
    import numpy as np

    source = "oneDNN issue 5717: NaN leaked through the padding where K is no multiple of 32"
    flat = np.isnan(np.asarray(result).reshape(len(result), -1))
    wrong = [
        row for row, nans in enumerate(flat) if not (nans.all() if row in rows else not nans.any())
    ]
    return Agreement(
        "rows with NaN where there should be none, or without",
        not wrong,
        float(len(wrong)),
        0.0,
        source,
        f"rows {wrong[:4]}" if wrong else "",
    )


def _wide(array: Array) -> Array:
    import numpy as np

    return np.asarray(array, dtype=np.float64)


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
        if (reason := _mistrusted(result, reference)) is not None:
            return Agreement(measure, False, math.nan, limit.value, limit.source, reason)
    value = figure()
    # A comparison with NaN is false either way, so a NaN figure never passes.
    return Agreement(measure, is_within(value, limit.value), value, limit.value, limit.source)


def _mistrusted(result: Array, reference: Array) -> str | None:
    """Why a comparison of these arrays would prove nothing, or None."""
    import numpy as np

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
    if zeros > _MOST_ZEROS:
        return f"{zeros:.0%} of the elements that should not be zero are"
    return None
