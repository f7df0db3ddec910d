"""The fills: repeatable, mostly ordinary numbers, and able to show a wrong oracle."""

import numpy as np
import pytest

from amx_suite.tmul import instructions as oracle
from amx_suite.tmul.fills import fill, fills_for
from amx_suite.tmul.instructions import INSTRUCTIONS, Element

pytestmark = pytest.mark.selftest

_FLOATS = [row.mnemonic for row in INSTRUCTIONS.values() if row.is_float]
_INTEGERS = [row.mnemonic for row in INSTRUCTIONS.values() if not row.is_float]
_FP16 = [row.mnemonic for row in INSTRUCTIONS.values() if row.element is Element.FP16]
_CASES = [(mnemonic, name) for mnemonic, row in INSTRUCTIONS.items() for name in fills_for(row)]


def _operands(instruction, name, batch=16):
    return fill(name, instruction, np.random.default_rng(5), batch, 16, 64, 64)


@pytest.mark.parametrize(("mnemonic", "name"), _CASES)
@pytest.mark.parametrize("shape", [(3, 7, 20, 12), (1, 1, 4, 4), (1, 3, 64, 4)])
def test_operands_have_their_shape_and_repeat(mnemonic, name, shape):
    instruction = INSTRUCTIONS[mnemonic]
    first, again = (fill(name, instruction, np.random.default_rng(1), *shape) for _ in range(2))
    batch, rows, k_bytes, n_bytes = shape
    assert [(x.shape, x.dtype) for x in first] == [
        ((batch, rows, k_bytes), np.uint8),
        ((batch, k_bytes // 4, n_bytes), np.uint8),
        ((batch, rows, n_bytes // 4), np.uint32),
    ]
    assert all(np.array_equal(x, y) for x, y in zip(first, again, strict=True))


def test_unsuitable_fill_is_refused():
    with pytest.raises(ValueError, match="no fill 'wrap' makes operands for tdpbf16ps"):
        _operands(INSTRUCTIONS["tdpbf16ps"], "wrap")
    with pytest.raises(ValueError, match="no fill 'nonsense'"):
        _operands(INSTRUCTIONS["tdpbf16ps"], "nonsense")


@pytest.mark.parametrize(("mnemonic", "name"), _CASES)
def test_results_are_mostly_numbers_that_differ(mnemonic, name):
    instruction = INSTRUCTIONS[mnemonic]
    operands = _operands(instruction, name)
    result = instruction.oracle(*operands)
    if instruction.is_float:
        numbers = np.isfinite(result.view(np.float32)) & (result & 0x7FFFFFFF != 0)
        assert numbers.mean() > 0.45
    assert (result != operands.c).mean() > 0.45


def test_fills_reach_every_kind_of_operand_and_result():
    instruction = INSTRUCTIONS["tdpbf16ps"]
    every = [_operands(instruction, name, batch=64) for name in fills_for(instruction)]
    bf16 = np.concatenate([tiles.view(np.uint16).ravel() for o in every for tiles in (o.a, o.b)])
    # Each exponent with each sign.
    assert len(np.unique(bf16 >> 7)) == 2**9
    results = np.concatenate([instruction.oracle(*o).ravel() for o in every])
    exponents = results >> 23 & 0xFF
    assert set(np.unique(exponents)) == set(range(256))
    # Zero and infinity of both signs.
    assert {0, 0x80000000, 0x7F800000, 0xFF800000} <= set(results.tolist())


# Oracles with one mistake each. A mistake that no fill shows would go unnoticed in a CPU too.


def _rounding_by(change):
    """``change(exact, nearest)`` gives what a step comes out as, both float64."""

    def wrong(instruction, operands, patch):
        right = oracle._round

        def step(values):
            exact = values.copy()
            right(values)
            values[...] = change(exact, values)
            return values.astype(np.float32)

        patch.setattr(oracle, "_round", step)
        return instruction.oracle(*operands)

    return wrong


def _beyond(exact, nearest):
    """Where rounding went away from zero."""
    return (np.abs(nearest) > np.abs(exact)) & np.isfinite(nearest)


def _truncated(exact, nearest):
    toward_zero = np.nextafter(nearest.astype(np.float32), np.float32(0))
    return np.where(_beyond(exact, nearest), toward_zero, nearest)


def _ties_away(exact, nearest):
    outward = np.copysign(np.float32(np.inf), exact.astype(np.float32))
    away = np.nextafter(nearest.astype(np.float32), outward).astype(np.float64)
    tie = (np.abs(exact - nearest) == np.abs(away - exact)) & (exact != nearest)
    return np.where(tie & ~_beyond(exact, nearest), away, nearest)


def _with(name, value):
    """The oracle with one of its parts replaced."""

    def wrong(instruction, operands, patch):
        patch.setattr(oracle, name, value)
        return instruction.oracle(*operands)

    return wrong


def _on(change):
    """The right oracle on changed operands."""
    return lambda instruction, operands, patch: instruction.oracle(*change(operands))


def _summing(accumulate):
    return _with("_accumulate", accumulate)


def _in_one_sum(left, right):
    products = (left * right).reshape(-1, *np.broadcast_shapes(left.shape[2:], right.shape[2:]))
    sums = np.zeros((2, *products.shape[1:]))
    for product in products:
        sums[0] += product
        oracle._round(sums)
    return sums


def _rounded_once(left, right):
    sums = (left * right).sum(axis=0)
    oracle._round(sums)
    return sums


def _products_rounded(left, right):
    products = left * right
    oracle._round(products)
    sums = np.zeros_like(products[0])
    for product in products:
        sums += product
        oracle._round(sums)
    return sums


def _straight_into_c(instruction, operands, patch):
    """As Intel's intrinsics guide writes it: every product is added to C."""
    start = operands.c.transpose(1, 2, 0)

    def accumulate(left, right):
        sums = np.stack([oracle._fp32_or_zero(start), np.zeros(start.shape)])
        for a, b in zip(left, right, strict=True):
            for half in range(2):
                sums[0] += a[half] * b[half]
                oracle._round(sums)
        return sums

    patch.setattr(oracle, "_accumulate", accumulate)
    return instruction.oracle(operands.a, operands.b, np.zeros_like(operands.c))


def _saturated(instruction, operands, patch):
    signed = instruction.mnemonic != "tdpbuud"
    start = operands.c.astype(np.int64)
    if signed:
        start = operands.c.view(np.int32).astype(np.int64)
    products = instruction.oracle(operands.a, operands.b, np.zeros_like(operands.c))
    sums = start + products.view(np.int32)
    low, high = (-(2**31), 2**31 - 1) if signed else (0, 2**32 - 1)
    return np.clip(sums, low, high).astype(np.uint32)


def _flipped_bit(instruction, operands, patch):
    result = instruction.oracle(*operands)
    finite = np.flatnonzero(result & 0x7F800000 != 0x7F800000)
    result.flat[finite[len(finite) // 2]] ^= 1
    return result


def _columns_reversed(operands):
    return operands._replace(b=operands.b.view(np.uint16)[..., ::-1].copy().view(np.uint8))


def _pairs_swapped(operands):
    """B's elements of each pair the other way round."""
    pairs = operands.b.reshape(*operands.b.shape[:2], -1, 2, 2)
    return operands._replace(b=pairs[..., ::-1, :].reshape(operands.b.shape))


def _rows_not_interleaved(operands):
    """B's rows 2k and 2k + 1 one after the other in memory instead of element by element."""
    batch, k, n_bytes = operands.b.shape
    rows = operands.b.reshape(batch, k, 2, n_bytes // 4, 2)
    return operands._replace(b=rows.swapaxes(2, 3).reshape(operands.b.shape))


def _fp16_denormals_zero(operands):
    a, b = (tiles.copy() for tiles in (operands.a, operands.b))
    for bits in (a.view(np.uint16), b.view(np.uint16)):
        bits[bits & 0x7C00 == 0] &= 0x8000
    return operands._replace(a=a, b=b)


def _denormals_kept(bits):
    return bits.view(np.float32).astype(np.float64)


def _for(mnemonics, **mistakes):
    return [
        pytest.param(mnemonic, wrong, id=f"{mnemonic}-{name}")
        for mnemonic in mnemonics
        for name, wrong in mistakes.items()
    ]


_MISTAKES = [
    *_for(
        INSTRUCTIONS,
        flipped_bit=_flipped_bit,
        pairs_swapped=_on(_pairs_swapped),
        rows_not_interleaved=_on(_rows_not_interleaved),
        columns_reversed=_on(_columns_reversed),
    ),
    *_for(
        _FLOATS,
        straight_into_c=_straight_into_c,
        one_sum=_summing(_in_one_sum),
        rounded_once=_summing(_rounded_once),
        truncated=_rounding_by(_truncated),
        ties_away=_rounding_by(_ties_away),
        no_daz=_with("_fp32_or_zero", _denormals_kept),
    ),
    # Sums of FP16 products are multiples of 2**-48: none is tiny, and none needs to be fused.
    *_for(
        ["tdpbf16ps"],
        no_ftz=_with("_TINY", 0.0),
        flushed_after_rounding_to_denormals=_with("_TINY", 2.0**-126 - 2.0**-150),
        flushed_before_rounding=_with("_TINY", 2.0**-126),
        products_rounded=_summing(_products_rounded),
    ),
    *_for(_FP16, fp16_denormals_zero=_on(_fp16_denormals_zero)),
    *_for(_INTEGERS, saturated=_saturated),
]


@pytest.mark.parametrize(("mnemonic", "wrong"), _MISTAKES)
def test_wrong_oracle_is_caught(mnemonic, wrong, monkeypatch):
    instruction = INSTRUCTIONS[mnemonic]
    for name in fills_for(instruction):
        operands = _operands(instruction, name)
        expected = instruction.oracle(*operands)
        with monkeypatch.context() as patch, np.errstate(all="ignore"):
            found = wrong(instruction, operands, patch)
        if instruction.differs(found, expected).any():
            return
    pytest.fail("no fill shows the mistake")
