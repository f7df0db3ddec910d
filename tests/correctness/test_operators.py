"""Is each operator right, in each precision, where AMX may be used?

Hypothesis chooses the arrays' shapes, the same in every run. Among them are always shapes that have
broken AMX code before: a K that is no multiple of 32 (oneDNN issue 5717) or of 2, and sizes below,
at and above one tile (16 rows of 64 bytes).

A test of a reduced precision passes only if one of its products at least was on AMX.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, example, given, settings
from hypothesis import strategies as st

from amx_suite.accuracy import limits
from amx_suite.accuracy.judgements import (
    close,
    error_ratio,
    exact,
    nan_contained,
    root_mean_square,
    rounded,
    signal_to_noise,
)
from amx_suite.core.agreement import Agreement
from amx_suite.core.isa import Isa
from amx_suite.core.precision import Precision
from amx_suite.engines import ENGINES
from amx_suite.plugin.operators import Operator, OperatorCheck, RunOperator
from amx_suite.worker.process import IsaWorker

pytestmark = [pytest.mark.correctness, pytest.mark.level(2)]

#: The reduced precisions that round, and those that quantize.
ROUNDING = {p: t for p, t in limits.TOLERANCES.items() if t.rounding is not None}
QUANTIZED = {p: t for p, t in limits.TOLERANCES.items() if t.peer_sqnr_db is not None}
FEWEST_BITS = min(tolerances.bits for tolerances in ROUNDING.values())

Array = np.ndarray[Any, Any]
#: (rows, K, columns) of a product; convolutions and attention derive their sizes from these.
Sizes = tuple[int, int, int]
#: Judges the operator at these sizes, made with this seed, by what the third argument runs.
Judge = Callable[[Sizes, int, RunOperator], None]
#: Has many examples judged: by a judge, at the sizes given and at others.
OverSizes = Callable[..., None]
#: Makes an array of a shape; ``terms`` is the number of products in each sum it goes into.
Fill = Callable[[np.random.Generator, tuple[int, ...], int], Array]

_SIZES = st.one_of(st.sampled_from([1, 15, 16, 17, 31, 32, 33, 64, 127]), st.integers(1, 160))
#: Sizes at which oneDNN uses AMX. It sends INT8 products with K up to 16, or with at most 32 rows
#: and 256 results, to VNNI (src/cpu/x64/matmul/brgemm_matmul_utils.cpp, releases 3.7 to 3.13).
ODD_K, LONG_K, MANY_TILES = (33, 47, 17), (16, 300, 64), (130, 1030, 258)


def few_examples(engine: str) -> settings:
    """Every example prepares and runs a model in two or three processes.

    Failing examples are not shrunk, which would run hundreds more; the shapes are small enough as
    they are. An engine that compiles runs only the sizes that have a name.
    """
    chosen = [] if ENGINES[engine].compiles else [Phase.generate]
    return settings(
        max_examples=12,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, *chosen],
        suppress_health_check=[HealthCheck.too_slow],
    )


@pytest.fixture
def precision() -> Precision:
    """Of a test that is not parametrized by it."""
    return Precision.FP32


@pytest.fixture
def operator_check(
    isa_workers: Callable[[Isa, str], IsaWorker],
    amx_engine: str,
    operator: str,
    precision: Precision,
    record_property: Callable[[str, object], None],
) -> OperatorCheck:
    return OperatorCheck(
        lambda isa: isa_workers(isa, amx_engine), operator, precision, record_property
    )


@pytest.fixture
def over_sizes(
    operator_check: OperatorCheck, amx_engine: str, request: pytest.FixtureRequest
) -> OverSizes:
    """Have a judge judge many examples, and end the test unless one of them was on AMX."""

    def check(judge: Judge, *named: Sizes) -> None:
        def one(sizes: Sizes, seed: int) -> None:
            operator_check.try_example(partial(judge, sizes, seed))

        one.__name__ = request.function.__name__  # Hypothesis derives its choices from it
        run = given(sizes=st.tuples(_SIZES, _SIZES, _SIZES), seed=st.integers(0, 2**32 - 1))(one)
        for seed, sizes in enumerate(named):
            run = example(sizes=sizes, seed=seed)(run)
        few_examples(amx_engine)(run)()
        operator_check.end()

    return check


def require(agreement: Agreement) -> None:
    assert agreement.passed, agreement.sentence


def small_integers(random: np.random.Generator, shape: tuple[int, ...], terms: int = 1) -> Array:
    """Whole numbers from -4 to 4 without 0: every product and sum of them is exact in FP32."""
    magnitudes = random.integers(1, 5, shape)
    signed: Array = magnitudes * random.choice([-1, 1], shape)
    return np.asarray(signed, dtype=np.float32)


def uneven(random: np.random.Generator, shape: tuple[int, ...], terms: int = 1) -> Array:
    """Normally distributed numbers; sums of products with them are of the order of 1."""
    return random.standard_normal(shape, dtype=np.float32) / np.float32(np.sqrt(terms))


def normal(random: np.random.Generator, shape: tuple[int, ...], terms: int = 1) -> Array:
    """The same, with so few bits that every format holds them: only the arithmetic can err."""
    return rounded(uneven(random, shape, terms), FEWEST_BITS)


def make_linear(random: np.random.Generator, sizes: Sizes, fill: Fill) -> Operator:
    rows, k, columns = sizes
    arrays = {
        "x": fill(random, (rows, k), 1),
        "weight": fill(random, (columns, k), k),
        "bias": fill(random, (columns,), 1),
    }
    return Operator("linear", arrays, {})


def make_conv2d(random: np.random.Generator, sizes: Sizes, fill: Fill) -> Operator:
    side, channels, filters = sizes
    kernel, stride = int(random.choice([1, 3])), int(random.choice([1, 2]))
    arrays = {
        "x": fill(random, (2, channels, 3 + side % 14, 3 + side // 14), 1),
        "weight": fill(random, (filters, channels, kernel, kernel), channels * kernel**2),
        "bias": fill(random, (filters,), 1),
    }
    return Operator("conv2d", arrays, {"stride": stride, "padding": kernel // 2})


def make_bmm(random: np.random.Generator, sizes: Sizes, fill: Fill) -> Operator:
    rows, k, columns = sizes
    arrays = {"a": fill(random, (3, rows, k), 1), "b": fill(random, (3, k, columns), k)}
    return Operator("bmm", arrays, {})


def make_attention(random: np.random.Generator, sizes: Sizes, fill: Fill) -> Operator:
    tokens, width, _ = sizes
    arrays = {name: fill(random, (2, 3, tokens, width), 1) for name in ("q", "k", "v")}
    # Values of one sign, so that cancellation does not enlarge the probabilities' rounding.
    arrays["v"] = rounded(np.abs(arrays["v"]) + 1, FEWEST_BITS)
    return Operator("attention", arrays, {})


PRODUCTS = {"linear": make_linear, "conv2d": make_conv2d, "bmm": make_bmm}
OPERATORS = {**PRODUCTS, "attention": make_attention}


@pytest.mark.parametrize("precision", [*ROUNDING, Precision.FP32], ids=str)
@pytest.mark.parametrize("operator", PRODUCTS)
def test_whole_numbers_are_exact(
    operator: str, precision: Precision, over_sizes: OverSizes
) -> None:
    """Any difference is a wrong product, sum or place: sums of whole numbers are exact."""

    def judge(sizes: Sizes, seed: int, run: RunOperator) -> None:
        made = PRODUCTS[operator](np.random.default_rng(seed), sizes, small_integers)
        expected = run(made, Precision.FP64).astype(np.float32)
        assume(expected.any())
        if precision in ROUNDING:
            expected = rounded(expected, ROUNDING[precision].bits)
        require(exact(run(made, precision), expected))

    over_sizes(judge, ODD_K, LONG_K, MANY_TILES)


@pytest.mark.parametrize("precision", ROUNDING, ids=str)
@pytest.mark.parametrize("operator", OPERATORS)
def test_amx_is_close_and_no_worse_than_without(
    operator: str, precision: Precision, over_sizes: OverSizes, operator_check: OperatorCheck
) -> None:
    rounding, least_error = ROUNDING[precision].rounding, ROUNDING[precision].least_error
    assert rounding is not None

    def judge(sizes: Sizes, seed: int, run: RunOperator) -> None:
        made = OPERATORS[operator](np.random.default_rng(seed), sizes, normal)
        fp64, result = run(made, Precision.FP64), run(made, precision)
        peer = operator_check.run_without_amx(made, precision)
        require(close(result, fp64, rounding))
        # Below the error of rounding, the peer was lucky in a few elements.
        floor = root_mean_square(fp64) * least_error
        require(error_ratio(result, peer, fp64, floor=floor))

    over_sizes(judge, ODD_K, LONG_K, MANY_TILES)


@pytest.mark.parametrize("operator", OPERATORS)
def test_fp32_stays_fp32_where_amx_is_allowed(
    operator: str, precision: Precision, over_sizes: OverSizes
) -> None:
    """A library that may use AMX must not use it for FP32 products unasked."""

    def judge(sizes: Sizes, seed: int, run: RunOperator) -> None:
        made = OPERATORS[operator](np.random.default_rng(seed), sizes, uneven)
        fp64, result = run(made, Precision.FP64), run(made, precision)
        require(signal_to_noise(result[np.newaxis], fp64[np.newaxis], limits.FP32_OPERATOR_SQNR_DB))

    over_sizes(judge, ODD_K)


@pytest.mark.parametrize("precision", QUANTIZED, ids=str)
@pytest.mark.parametrize("operator", PRODUCTS)
def test_quantized_is_near_and_the_same_with_amx(
    operator: str, precision: Precision, over_sizes: OverSizes, operator_check: OperatorCheck
) -> None:
    least, least_of_peer = QUANTIZED[precision].outputs_sqnr_db, QUANTIZED[precision].peer_sqnr_db
    assert least_of_peer is not None

    def judge(sizes: Sizes, seed: int, run: RunOperator) -> None:
        made = PRODUCTS[operator](np.random.default_rng(seed), sizes, normal)
        result = run(made, precision)[np.newaxis]
        peer = operator_check.run_without_amx(made, precision)[np.newaxis]
        fp64 = run(made, Precision.FP64)[np.newaxis]
        require(signal_to_noise(result, fp64, least))
        require(signal_to_noise(result, peer, least_of_peer))

    over_sizes(judge, ODD_K)


@pytest.mark.parametrize("precision", [*ROUNDING, Precision.FP32], ids=str)
@pytest.mark.parametrize(("operator", "poisoned"), [("linear", "x"), ("bmm", "a"), ("conv2d", "x")])
def test_nan_stays_in_its_row(
    operator: str, poisoned: str, precision: Precision, over_sizes: OverSizes
) -> None:
    """Rows are computed side by side in one tile, and padded where K ends within one."""

    def judge(sizes: Sizes, seed: int, run: RunOperator) -> None:
        random = np.random.default_rng(seed)
        made = PRODUCTS[operator](random, sizes, normal)
        # A row of the product; for a convolution a whole image, so that every output of it is NaN.
        clean = made.arrays[poisoned]
        leading = 1 if operator == "conv2d" else clean.ndim - 1
        count = int(np.prod(clean.shape[:leading]))
        chosen = [{int(random.integers(count))}]
        if sizes == ODD_K:
            # Each row beside one that is poisoned: where a NaN leaks to depends on the kernel.
            chosen += [set(range(0, count, 2)), set(range(1, count, 2))]
        for rows in chosen:
            made.arrays[poisoned] = clean.copy()
            made.arrays[poisoned].reshape(count, *clean.shape[leading:])[list(rows)] = np.nan
            output = run(made, precision)
            require(nan_contained(output.reshape(count, *output.shape[leading:]), rows))

    over_sizes(judge, ODD_K)
