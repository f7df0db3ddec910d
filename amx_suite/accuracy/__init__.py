"""Floor 1: how near one array is to another, and whether that is near enough.

It knows arrays and nothing else, so that tests of operators, tests of models and a user's own
script judge by the same figures: ``limits`` are data, ``figures`` are numbers, ``judgements`` hold
the one against the other. numpy is imported when a figure is taken.
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
    "limits",
    "loss_gap",
    "nan_contained",
    "repeated",
    "rmse",
    "root_mean_square",
    "same",
    "signal_to_noise",
    "sqnr_db",
    "top1",
]

from amx_suite.accuracy import limits
from amx_suite.accuracy.figures import cosine, rmse, root_mean_square, sqnr_db
from amx_suite.accuracy.judgements import (
    Agreement,
    close,
    cosine_similarity,
    error_ratio,
    exact,
    loss_gap,
    nan_contained,
    repeated,
    same,
    signal_to_noise,
    top1,
)
from amx_suite.accuracy.limits import Threshold
