"""Is each operator right, in each precision, where AMX may be used?

Hypothesis chooses the arrays' shapes, the same in every run. Among them are always shapes that have
broken AMX code before: a K that is no multiple of 32 (oneDNN issue 5717) or of 2, and sizes below,
at and above one tile (16 rows of 64 bytes).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, assume, example, given, settings
from hypothesis import strategies as st

from amx_suite.accuracy import limits
from amx_suite.accuracy.judgements import (
    Agreement,
    close,
    error_ratio,
    exact,
    nan_contained,
    root_mean_square,
    rounded,
    signal_to_noise,
)
from amx_suite.core.isa import Isa
from amx_suite.core.precision import Precision
from amx_suite.engines import ENGINES
from amx_suite.errors import NotApplicableError
from amx_suite.worker.process import IsaWorker

pytestmark = [pytest.mark.correctness, pytest.mark.level(2)]

#: The reduced precisions that round, and those that quantize.
ROUNDING = {p: t for p, t in limits.TOLERANCES.items() if t.rounding is not None}
QUANTIZED = {p: t for p, t in limits.TOLERANCES.items() if t.peer_sqnr_db is not None}
FEWEST_BITS = min(tolerances.bits for tolerances in ROUNDING.values())

Array = np.ndarray[Any, Any]
Workers = Callable[[Isa, str], IsaWorker]
#: Makes an array of a shape; ``terms`` is the number of products in each sum it goes into.
Fill = Callable[[np.random.Generator, tuple[int, ...], int], Array]

#: Every example prepares and runs a model in two or three processes. Failing examples are not
#: shrunk, which would run hundreds more; the shapes are small enough as they are.
few_examples = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

_SIZES = st.one_of(st.sampled_from([1, 15, 16, 17, 31, 32, 33, 64, 127]), st.integers(1, 160))
#: (rows, K, columns) of a product; convolutions and attention derive their sizes from these.
shapes = st.tuples(_SIZES, _SIZES, _SIZES)
ODD_K, LONG_K, MANY_TILES = (33, 47, 17), (16, 300, 64), (130, 1030, 258)
odd_k = example(shape=ODD_K, seed=0)
long_k = example(shape=LONG_K, seed=1)
many_tiles = example(shape=MANY_TILES, seed=2)
seeds = st.integers(0, 2**32 - 1)


def is_asked(engine: str, shape: tuple[int, int, int]) -> bool:
    """Whether this engine runs this shape: an engine that compiles runs only those with names."""
    return not ENGINES[engine].compiles or shape in (ODD_K, LONG_K, MANY_TILES)


def ceiling_with_amx(precision: Precision) -> Isa:
    """The highest ceiling of the precision's arms, or one with AMX for FP32, which has none."""
    return precision.spec.with_amx or Isa.AMX


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


def make_linear(random: np.random.Generator, shape: tuple[int, int, int], fill: Fill) -> Operator:
    rows, k, columns = shape
    arrays = {
        "x": fill(random, (rows, k), 1),
        "weight": fill(random, (columns, k), k),
        "bias": fill(random, (columns,), 1),
    }
    return Operator("linear", arrays, {})


def make_conv2d(random: np.random.Generator, shape: tuple[int, int, int], fill: Fill) -> Operator:
    side, channels, filters = shape
    kernel, stride = int(random.choice([1, 3])), int(random.choice([1, 2]))
    arrays = {
        "x": fill(random, (2, channels, 3 + side % 14, 3 + side // 14), 1),
        "weight": fill(random, (filters, channels, kernel, kernel), channels * kernel**2),
        "bias": fill(random, (filters,), 1),
    }
    return Operator("conv2d", arrays, {"stride": stride, "padding": kernel // 2})


def make_bmm(random: np.random.Generator, shape: tuple[int, int, int], fill: Fill) -> Operator:
    rows, k, columns = shape
    arrays = {"a": fill(random, (3, rows, k), 1), "b": fill(random, (3, k, columns), k)}
    return Operator("bmm", arrays, {})


def make_attention(
    random: np.random.Generator, shape: tuple[int, int, int], fill: Fill
) -> Operator:
    tokens, width, _ = shape
    arrays = {name: fill(random, (2, 3, tokens, width), 1) for name in ("q", "k", "v")}
    # Values of one sign, so that cancellation does not enlarge the probabilities' rounding.
    arrays["v"] = rounded(np.abs(arrays["v"]) + 1, FEWEST_BITS)
    return Operator("attention", arrays, {})


class Operator:
    """An operator of ``workloads.operators`` with its arrays."""

    def __init__(self, name: str, arrays: dict[str, Array], settings: dict[str, int]) -> None:
        self.name = name
        self.arrays = arrays
        self.settings = settings

    def run(self, worker: IsaWorker, precision: Precision) -> Array:
        try:
            output: Array = worker.operate(self.name, precision, self.arrays, **self.settings)
        except NotApplicableError as error:
            pytest.skip(f"NOT_APPLICABLE: {self.name} in {precision}: {error}")
        return output


PRODUCTS = {"linear": make_linear, "conv2d": make_conv2d, "bmm": make_bmm}
OPERATORS = {**PRODUCTS, "attention": make_attention}


@pytest.mark.parametrize("precision", [*ROUNDING, Precision.FP32], ids=str)
@pytest.mark.parametrize("operator", PRODUCTS)
@few_examples
@odd_k
@long_k
@many_tiles
@given(shape=shapes, seed=seeds)
def test_whole_numbers_are_exact(
    operator: str,
    precision: Precision,
    isa_workers: Workers,
    amx_engine: str,
    shape: tuple[int, int, int],
    seed: int,
) -> None:
    """Any difference is a wrong product, sum or place: sums of whole numbers are exact."""
    if not is_asked(amx_engine, shape):
        return
    made = PRODUCTS[operator](np.random.default_rng(seed), shape, small_integers)
    worker = isa_workers(ceiling_with_amx(precision), amx_engine)
    expected = made.run(worker, Precision.FP64).astype(np.float32)
    assume(expected.any())
    if precision in ROUNDING:
        expected = rounded(expected, ROUNDING[precision].bits)
    require(exact(made.run(worker, precision), expected))


@pytest.mark.parametrize("precision", ROUNDING, ids=str)
@pytest.mark.parametrize("operator", OPERATORS)
@few_examples
@odd_k
@long_k
@many_tiles
@given(shape=shapes, seed=seeds)
def test_amx_is_close_and_no_worse_than_without(
    operator: str,
    precision: Precision,
    isa_workers: Workers,
    amx_engine: str,
    shape: tuple[int, int, int],
    seed: int,
) -> None:
    if not is_asked(amx_engine, shape):
        return
    made = OPERATORS[operator](np.random.default_rng(seed), shape, normal)
    without, with_amx = (isa_workers(isa, amx_engine) for isa in precision.spec.isas)
    fp64 = made.run(with_amx, Precision.FP64)
    result, peer = made.run(with_amx, precision), made.run(without, precision)
    tolerances = ROUNDING[precision]
    assert tolerances.rounding is not None
    require(close(result, fp64, tolerances.rounding))
    # Below the error of rounding, the peer was lucky in a few elements.
    floor = root_mean_square(fp64) * tolerances.least_error
    require(error_ratio(result, peer, fp64, floor=floor))


@pytest.mark.parametrize("operator", OPERATORS)
@few_examples
@odd_k
@given(shape=shapes, seed=seeds)
def test_fp32_stays_fp32_where_amx_is_allowed(
    operator: str,
    isa_workers: Workers,
    amx_engine: str,
    shape: tuple[int, int, int],
    seed: int,
) -> None:
    """A library that may use AMX must not use it for FP32 products unasked."""
    if not is_asked(amx_engine, shape):
        return
    made = OPERATORS[operator](np.random.default_rng(seed), shape, uneven)
    worker = isa_workers(Isa.AMX, amx_engine)
    fp64, result = made.run(worker, Precision.FP64), made.run(worker, Precision.FP32)
    require(signal_to_noise(result[np.newaxis], fp64[np.newaxis], limits.FP32_OPERATOR_SQNR_DB))


@pytest.mark.parametrize("precision", QUANTIZED, ids=str)
@pytest.mark.parametrize("operator", PRODUCTS)
@few_examples
@odd_k
@given(shape=shapes, seed=seeds)
def test_quantized_is_near_and_the_same_with_amx(
    operator: str,
    precision: Precision,
    isa_workers: Workers,
    amx_engine: str,
    shape: tuple[int, int, int],
    seed: int,
) -> None:
    if not is_asked(amx_engine, shape):
        return
    made = PRODUCTS[operator](np.random.default_rng(seed), shape, normal)
    without, with_amx = (isa_workers(isa, amx_engine) for isa in precision.spec.isas)
    result = made.run(with_amx, precision)[np.newaxis]
    peer = made.run(without, precision)[np.newaxis]
    fp64 = made.run(with_amx, Precision.FP64)[np.newaxis]
    tolerances = QUANTIZED[precision]
    require(signal_to_noise(result, fp64, tolerances.outputs_sqnr_db))
    assert tolerances.peer_sqnr_db is not None
    require(signal_to_noise(result, peer, tolerances.peer_sqnr_db))


@pytest.mark.parametrize("precision", [*ROUNDING, Precision.FP32], ids=str)
@pytest.mark.parametrize(("operator", "poisoned"), [("linear", "x"), ("bmm", "a"), ("conv2d", "x")])
@few_examples
@odd_k
@given(shape=shapes, seed=seeds)
def test_nan_stays_in_its_row(
    operator: str,
    poisoned: str,
    precision: Precision,
    isa_workers: Workers,
    amx_engine: str,
    shape: tuple[int, int, int],
    seed: int,
) -> None:
    """Rows are computed side by side in one tile, and padded where K ends within one."""
    if not is_asked(amx_engine, shape):
        return
    random = np.random.default_rng(seed)
    made = PRODUCTS[operator](random, shape, normal)
    worker = isa_workers(ceiling_with_amx(precision), amx_engine)
    # A row of the product; for a convolution a whole image, so that every output of it is NaN.
    clean = made.arrays[poisoned]
    leading = 1 if operator == "conv2d" else clean.ndim - 1
    count = int(np.prod(clean.shape[:leading]))
    chosen = [{int(random.integers(count))}]
    if shape == ODD_K:
        # Each row beside one that is poisoned: which row a NaN leaks into depends on the kernel.
        chosen += [set(range(0, count, 2)), set(range(1, count, 2))]
    for rows in chosen:
        made.arrays[poisoned] = clean.copy()
        made.arrays[poisoned].reshape(count, *clean.shape[leading:])[list(rows)] = np.nan
        output = made.run(worker, precision)
        require(nan_contained(output.reshape(count, *output.shape[leading:]), rows))
