"""How close one array is to another, in double precision, and whether to trust the arrays."""

from __future__ import annotations

__all__ = [
    "Array",
    "cosine",
    "mistrusted",
    "rmse",
    "root_mean_square",
    "rounded",
    "sqnr_db",
    "wide",
]

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, Any]
else:
    Array = Any

#: A result is mistrusted if more than this share of its elements is zero where the reference is
#: not; in fewer elements a share means nothing (oneDNN tests/benchdnn/utils/compare.cpp).
_MOST_ZEROS, _FEWEST = 0.3, 10


def wide(array: Array) -> Array:
    """The array in double precision."""
    import numpy as np

    return np.asarray(array, dtype=np.float64)


def root_mean_square(array: Array) -> float:
    """Root of the mean square, in the array's unit."""
    import numpy as np

    return float(np.sqrt(np.mean(wide(array) ** 2)))


def rmse(result: Array, reference: Array) -> float:
    """Root of the mean squared difference, in the arrays' unit."""
    return root_mean_square(wide(result) - wide(reference))


def sqnr_db(result: Array, reference: Array) -> float:
    """Signal to quantization noise: 10 log10(sum r^2 / sum (x - r)^2) dB; infinite if equal."""
    signal = float((wide(reference) ** 2).sum())
    noise = float(((wide(result) - wide(reference)) ** 2).sum())
    if noise == 0:
        return math.inf
    return 10 * math.log10(signal / noise) if signal > 0 else -math.inf


def cosine(result: Array, reference: Array) -> float:
    """Cosine of the angle between the arrays as vectors; NaN if one of them is zero."""
    x, r = wide(result).ravel(), wide(reference).ravel()
    lengths = math.sqrt(float(x @ x)) * math.sqrt(float(r @ r))
    return float(x @ r) / lengths if lengths > 0 else math.nan


def rounded(array: Array, bits: int) -> Array:
    """FP32 numbers rounded to fewer than 24 significant bits, ties to even; finite values only."""
    import numpy as np

    dropped = np.finfo(np.float32).nmant + 1 - bits
    stored = np.ascontiguousarray(array, dtype=np.float32).view(np.uint32)
    nearest = stored + (1 << (dropped - 1)) - 1 + ((stored >> dropped) & 1)
    kept: Array = nearest & np.uint32(0xFFFFFFFF << dropped & 0xFFFFFFFF)
    return kept.view(np.float32)


def mistrusted(result: Array, reference: Array) -> str | None:
    """Why a comparison of these arrays would prove nothing, or None.

    Arrays of other shapes, infinities, NaNs, or zeros in the wrong place can pass a tolerance by
    accident, so they have no figure (benchdnn's MISTRUSTED).
    """
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
    if x.size >= _FEWEST and zeros > _MOST_ZEROS:
        return f"{zeros:.0%} of the elements that should not be zero are"
    return None
