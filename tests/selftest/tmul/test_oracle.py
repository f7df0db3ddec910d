"""The oracle on vectors worked by hand, and against exact integer arithmetic on every fill.

Operands and results are bits in hexadecimal.

BF16: 3f80 is 1, 4000 is 2, bf80 is -1; 2000 is 2**-63, 1f80 2**-64, 1a00 2**-75, 1980 2**-76;
3400 is 2**-23, 3380 2**-24; 7f80 is infinity, 7fc0 and 7f81 NaN; 007f is the largest denormal.
FP16: 3c00 is 1; 0001 is 2**-24, the smallest denormal; 7c00 is infinity.
FP32: 3f800000 is 1; 00800000 is 2**-126, the smallest normal; 007fffff is the largest denormal.
"""

from __future__ import annotations

import numpy as np
import pytest
from exact_tiles import exact_dot

from amx_suite.tmul.fills import fill, fills_for
from amx_suite.tmul.instructions import INSTRUCTIONS

pytestmark = pytest.mark.selftest


def _element(mnemonic, a, b, c):
    """One element of C: a row of A against a column of B, elements in the order of memory."""
    instruction = INSTRUCTIONS[mnemonic]

    def elements(text):
        values = [int(word, 16) for word in text.split()]
        values += [0] * (-len(values) % instruction.group)
        return np.array(values, f"<u{4 // instruction.group}").view(np.uint8)

    row = elements(a).reshape(1, 1, -1)
    column = elements(b).reshape(1, -1, 4)
    result = instruction.oracle(row, column, np.array([[[int(c, 16)]]], np.uint32))
    assert result.shape == (1, 1, 1)
    return f"{result[0, 0, 0]:08x}"


def _is_nan(bits):
    return int(bits, 16) & 0x7FFFFFFF > 0x7F800000


#: For each instruction: a row of A, a column of B, C, and the result.
_VECTORS = {
    "tdpbf16ps": [
        # 1 x 2 + 3 x 4 + 1 = 15
        ("3f80 4040", "4000 4080", "3f800000", "41700000"),
        # -1 x 2 + 1 x 1, and C takes away 1 more: -2
        ("bf80 3f80", "4000 3f80", "bf800000", "c0000000"),
        # The largest denormal x 2**127 would be nearly 2; it counts as 0.
        ("007f", "7f00", "00000000", "00000000"),
        ("7f00", "007f", "3f800000", "3f800000"),
        # The smallest normal x 2**127 is 2.
        ("0080", "7f00", "00000000", "40000000"),
        # C is a denormal: +0 + +0, and -0 + +0, since sums that never were are +0.
        ("0000", "0000", "007fffff", "00000000"),
        ("0000", "0000", "807fffff", "00000000"),
        # A denormal and an infinity are 0 x infinity.
        ("0001", "7f80", "3f800000", "nan"),
        # C + 2**-24 with an even and with an odd C.
        ("3380", "3f80", "3f800000", "3f800000"),
        ("3380", "3f80", "3f800001", "3f800002"),
        ("b380", "3f80", "bf800001", "bf800002"),
        # The largest number + half a step (2**103) is a tie and goes to infinity; less stays.
        ("7300", "3f80", "7f7fffff", "7f800000"),
        ("7280", "3f80", "7f7fffff", "7f7fffff"),
        ("f300", "3f80", "ff7fffff", "ff800000"),
        # x - x is +0.
        ("3f80", "3f80", "bf800000", "00000000"),
        # 2**-126 - 1.5 x 2**-126 is denormal: flushed, with its sign.
        ("80c0", "3f80", "00800000", "80000000"),
        ("00c0", "3f80", "80800000", "00000000"),
        # Both sums are -2**-127, flushed to -0: -0 + -0 + -0.
        ("a000 a000", "1f80 1f80", "80000000", "80000000"),
        # A denormal C keeps its sign as it becomes zero.
        ("a000 a000", "1f80 1f80", "807fffff", "80000000"),
        ("a000 a000", "1f80 1f80", "00000000", "00000000"),
        # Only one sum is -0: +0.
        ("a000 2000", "1f80 1f80", "80000000", "00000000"),
        # A product of -0 does not change a sum that starts at +0.
        ("8000 8000", "3f80 3f80", "80000000", "00000000"),
        # -0, then 2**-126 - 2**-126: +0.
        ("a000 a000 2000 0 a000", "1f80 1f80 2000 0 2000", "80000000", "00000000"),
        ("7f80", "3f80", "3f800000", "7f800000"),
        ("7f80", "bf80", "3f800000", "ff800000"),
        ("7f80 7f80", "3f80 3f80", "7f800000", "7f800000"),
        # infinity x 0, infinity - infinity between the sums, and with C
        ("7f80", "0000", "00000000", "nan"),
        ("7f80 7f80", "3f80 bf80", "00000000", "nan"),
        ("7f80", "3f80", "ff800000", "nan"),
        # A NaN in A or B, quiet or signalling, or in C:
        ("7fc0", "3f80", "00000000", "nan"),
        ("3f80", "7f81", "00000000", "nan"),
        ("0000", "ffff", "7f800000", "nan"),
        ("3f80", "3f80", "7f800001", "nan"),
        # Twice the largest number is infinity,
        ("7f7f", "4000", "00000000", "7f800000"),
        # but not when the largest is taken away in the same step,
        ("ff7f 0 7f7f", "3f80 0 4000", "00000000", "7f7f0000"),
        # and one step later it is too late.
        ("7f7f 0 ff7f", "4000 0 3f80", "00000000", "7f800000"),
        # 2**-63 x 2**-64 = 2**-127 alone is flushed,
        ("2000", "1f80", "00000000", "00000000"),
        # but it counts when it is added to 2**-126: the product is not rounded on its own.
        ("2000 0 2000", "2000 0 1f80", "00000000", "00c00000"),
        # 2**-126 - 2**-151 is a tie at 24 bits, between 2**-126 - 2**-150 and 2**-126: not tiny.
        ("2000 0 9a00", "2000 0 1980", "00000000", "00800000"),
        # 2**-126 - 1.5 x 2**-151 is nearer to the lower: tiny, though FP32 denormals, 2**-149
        # apart, would have rounded it up to 2**-126.
        ("2000 0 9a40", "2000 0 1980", "00000000", "00000000"),
        # 2**-126 - 2**-150 needs no rounding at 24 bits: tiny, though a tie between denormals.
        ("2000 0 9a00", "2000 0 1a00", "00000000", "00000000"),
        # Products are summed before C is added: 2**24 + (1 + 1 + 1 + 1). Added to C one after the
        # other, as the intrinsics guide has it, each 1 would be lost to a tie.
        ("3f80 3f80 3f80 3f80", "3f80 3f80 3f80 3f80", "4b800000", "4b800002"),
        # Even: 2**24 - 2**24. Odd: 1 + 1. In one sum the first 1 would be lost to a tie.
        ("4580 3f80 c580 3f80", "4580 3f80 4580 3f80", "00000000", "40000000"),
    ],
    "tdpfp16ps": [
        # 1 x 2 + 3 x 4 + 1 = 15
        ("3c00 4200", "4000 4400", "3f800000", "41700000"),
        # FP16 denormals keep their value: 2**-24 x 1, and the smallest product, 2**-48.
        ("0001", "3c00", "00000000", "33800000"),
        ("0001", "0001", "00000000", "27800000"),
        ("8001", "03ff", "00000000", "ac7fc000"),
        # FP32 ones do not: C is zero.
        ("0001", "0001", "007fffff", "27800000"),
        ("0000", "0000", "807fffff", "00000000"),
        # All 22 bits of (2 - 2**-10)**2 = 4 - 2**-8 + 2**-20 fit.
        ("3fff", "3fff", "00000000", "407fc004"),
        # The largest product, 65504**2 = 4290774016, is far from FP32's limit.
        ("7bff", "7bff", "00000000", "4f7fc004"),
        ("7c00", "3c00", "00000000", "7f800000"),
        ("fc00", "0001", "00000000", "ff800000"),
        ("7c00", "0000", "00000000", "nan"),
        ("7c01", "3c00", "00000000", "nan"),
        # 1 + 2**-24 and 1 + 2**-23 + 2**-24: ties to even, down and up.
        ("3c00 0 0001", "3c00 0 3c00", "00000000", "3f800000"),
        ("3c00 0 0002 0 0001", "3c00 0 3c00 0 3c00", "00000000", "3f800002"),
        # 2**24 + (1 + 1 + 1 + 1), as for BF16
        ("3c00 3c00 3c00 3c00", "3c00 3c00 3c00 3c00", "4b800000", "4b800002"),
    ],
    "tcmmrlfp16ps": [
        # (1 + 2i) x (3 + 4i) = -5 + 10i; with 100 in C: 95 and 110.
        ("3c00 4000", "4200 4400", "42c80000", "42be0000"),
        # and (1 - i) x (2 + i) = 3 - i on top: -2 and 9.
        ("3c00 4000 3c00 bc00", "4200 4400 4000 3c00", "00000000", "c0000000"),
        # i x i = -1
        ("0000 3c00", "0000 3c00", "00000000", "bf800000"),
        # (inf + inf i) x (1 + i): inf - inf
        ("7c00 7c00", "3c00 3c00", "00000000", "nan"),
        # FP16 denormals: 2**-24 i x i
        ("0000 0001", "0000 3c00", "00000000", "b3800000"),
        # Two sums: real x real is 2**24, imaginary x imaginary -(1 + 1). Neither 1 is lost.
        ("6c00 bc00 0 bc00", "6c00 3c00 0 3c00", "00000000", "4b800001"),
        ("0000 0000", "3c00 3c00", "807fffff", "00000000"),
    ],
    "tcmmimfp16ps": [
        # The imaginary parts of the first four products above.
        ("3c00 4000", "4200 4400", "42c80000", "42dc0000"),
        ("3c00 4000 3c00 bc00", "4200 4400 4000 3c00", "00000000", "41100000"),
        ("0000 3c00", "0000 3c00", "00000000", "00000000"),
        ("7c00 7c00", "3c00 3c00", "00000000", "7f800000"),
        # FP16 denormals: 2**-24 i x 1
        ("0000 0001", "3c00 0000", "00000000", "33800000"),
        ("3c00 6c00 3c00 0", "6c00 3c00 0 3c00", "00000000", "4b800001"),
    ],
    "tdpbssd": [
        # 1 x 5 + 2 x 6 + 3 x 7 + 4 x 8 = 70
        ("1 2 3 4", "5 6 7 8", "0", "00000046"),
        # 80 is -128 or 128, ff is -1 or 255: four times 128 x 1, -128 x 255, 255 x -128, 128 x 255
        ("80 80 80 80", "ff ff ff ff", "0", "00000200"),
        ("80 80 80 80", "80 80 80 80", "0", "00010000"),
        # No saturation to 16 bits on the way, and none to 32 at the end.
        ("1", "1", "7fffffff", "80000000"),
        ("ff", "1", "80000000", "7fffffff"),
    ],
    "tdpbuud": [
        ("1 2 3 4", "5 6 7 8", "0", "00000046"),
        ("80 80 80 80", "ff ff ff ff", "0", "0001fe00"),
        ("ff ff ff ff", "ff ff ff ff", "0", "0003f804"),
        ("1", "1", "ffffffff", "00000000"),
    ],
    "tdpbsud": [
        ("80 80 80 80", "ff ff ff ff", "0", "fffe0200"),
        ("ff", "1", "0", "ffffffff"),
    ],
    "tdpbusd": [
        ("ff ff ff ff", "80 80 80 80", "0", "fffe0200"),
        ("80 80 80 80", "ff ff ff ff", "0", "fffffe00"),
    ],
}


@pytest.mark.parametrize(
    ("mnemonic", "a", "b", "c", "expected"),
    [(mnemonic, *vector) for mnemonic, vectors in _VECTORS.items() for vector in vectors],
)
def test_vectors_worked_by_hand(mnemonic, a, b, c, expected):
    found = _element(mnemonic, a, b, c)
    assert _is_nan(found) if expected == "nan" else found == expected


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        # 1 + 2**-24 lies between 1 (even) and 1 + 2**-23: down to even.
        ("3f80 0 3380", "3f80 0 3f80", "3f800000"),
        # 1 + 2**-23 + 2**-24 lies between an odd and 1 + 2**-22: up to even.
        ("3f80 0 3400 0 3380", "3f80 0 3f80 0 3f80", "3f800002"),
        # The same below zero.
        ("bf80 0 b400 0 b380", "3f80 0 3f80 0 3f80", "bf800002"),
        # Just above the tie: 2**-24 x (1 + 2**-7)**2, the lowest of whose bits tips it.
        ("3f80 0 3381", "3f80 0 3f81", "3f800001"),
        # Just below it: 2**-26 x (2 - 2**-7)**2 < 2**-24.
        ("3f80 0 32ff", "3f80 0 3fff", "3f800000"),
        # 2**-60 is further below 1 than float64 reaches; 1 + 2**-23 stays what it is.
        ("3f80 0 3400 0 2180", "3f80 0 3f80 0 3f80", "3f800001"),
        ("3f80 0 3400 0 a180", "3f80 0 3f80 0 3f80", "3f800001"),
        # Just below a power of two steps are half as wide: 1 - 2**-25 is a tie, and 1 is even.
        ("3f80 0 b300", "3f80 0 3f80", "3f800000"),
        ("3f80 0 b301", "3f80 0 3f80", "3f7fffff"),
    ],
)
def test_bf16_each_step_rounds_to_nearest_even(a, b, expected):
    assert _element("tdpbf16ps", a, b, "00000000") == expected
    # Even elements and odd elements alike.
    shifted = tuple("0 " + text for text in (a, b))
    assert _element("tdpbf16ps", *shifted, "00000000") == expected


@pytest.mark.parametrize("mnemonic", INSTRUCTIONS)
def test_operands_may_be_views(mnemonic):
    rng = np.random.default_rng(0)
    instruction = INSTRUCTIONS[mnemonic]
    a, b = (rng.integers(256, size=(70, 6, 48), dtype=np.uint8) for _ in range(2))
    c = rng.integers(2**32, size=(70, 3, 10), dtype=np.uint32)
    views = (a[::2, ::2, 4:28], b[1::2, :, 8:40], c[::2, :, 1:9])
    copies = [view.copy() for view in views]
    found = instruction.oracle(*views)
    assert not instruction.differs(found, instruction.oracle(*copies)).any()
    assert all(np.array_equal(view, copy) for view, copy in zip(views, copies, strict=True))


@pytest.mark.parametrize(
    ("mnemonic", "name"),
    [(mnemonic, name) for mnemonic, row in INSTRUCTIONS.items() for name in fills_for(row)],
)
def test_exact_integers_give_the_same_bits(mnemonic, name):
    instruction = INSTRUCTIONS[mnemonic]
    rng = np.random.default_rng(len(name))
    for shape in ((1, 16, 64, 16), (4, 5, 12, 20), (8, 2, 4, 4)):
        operands = fill(name, instruction, rng, *shape)
        found = instruction.oracle(*operands)
        assert not instruction.differs(found, exact_dot(mnemonic, *operands)).any()


def test_any_nan_equals_any_other():
    nans = np.array([0x7FC00000, 0xFF800001], np.uint32)
    floats, integers = INSTRUCTIONS["tdpbf16ps"], INSTRUCTIONS["tdpbssd"]
    assert floats.differs(nans, nans[::-1]).tolist() == [False, False]
    assert integers.differs(nans, nans[::-1]).tolist() == [True, True]
    zeros = np.array([0, 0x80000000], np.uint32)
    assert floats.differs(zeros, zeros[::-1]).tolist() == [True, True]
    assert floats.differs(zeros, nans).tolist() == [True, True]


def test_operations_are_counted():
    assert INSTRUCTIONS["tdpbf16ps"].operations(16, 64, 64) == 2 * 16 * 32 * 16
    assert INSTRUCTIONS["tdpbuud"].operations(3, 8, 20) == 2 * 3 * 8 * 5
