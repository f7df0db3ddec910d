"""Tile dot products in exact integer arithmetic, one element at a time: slow and independent.

A number is a sign and a count of 2**-300. Every FP32 number and every product of two is a whole
number of these units, so nothing here is floating point.
Source: Intel SDM volume 2, TDPBF16PS, TDPBSSD and its kin, TDPFP16PS, TCMMIMFP16PS; volume 1,
sections 4.9.1.5 and 10.2.3, for what is tiny and what becomes of it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_UNIT = 300
_NAN_BITS = 0x7FC00000


class Number(NamedTuple):
    """The magnitude in ``units``; None is infinity. A NaN is None in place of a Number."""

    negative: bool
    units: int | None

    def negated(self):
        return Number(not self.negative, self.units)


_ZERO = Number(False, 0)
_ONE = Number(False, 1 << _UNIT)


def _decode(bits, exponent_bits, fraction_bits, *, daz):
    fraction = bits & ((1 << fraction_bits) - 1)
    exponent = (bits >> fraction_bits) & ((1 << exponent_bits) - 1)
    negative = bool(bits >> (fraction_bits + exponent_bits))
    # The exponent of the last bit of a number whose exponent field is 0.
    last = 2 - (1 << (exponent_bits - 1)) - fraction_bits
    if exponent == (1 << exponent_bits) - 1:
        return None if fraction else Number(negative, None)
    if exponent == 0:
        return Number(negative, 0 if daz else fraction << (_UNIT + last))
    significand = fraction | 1 << fraction_bits
    return Number(negative, significand << (_UNIT + last + exponent - 1))


def _encode(number):
    """Bits of an FP32 number that needs no rounding and is no denormal."""
    if number is None:
        return _NAN_BITS
    sign = number.negative << 31
    if number.units is None:
        return sign | 0x7F800000
    if number.units == 0:
        return sign
    exponent = number.units.bit_length() - 1
    significand = number.units >> (exponent - 23)
    assert significand << (exponent - 23) == number.units
    return sign | (exponent - _UNIT + 127) << 23 | (significand & 0x7FFFFF)


def _rounded(negative, units):
    """To 24 bits, ties to even, with an unbounded exponent; then out of range, or tiny, or not."""
    dropped = units.bit_length() - 24
    if dropped > 0:
        significand, rest = units >> dropped, units & ((1 << dropped) - 1)
        half = 1 << (dropped - 1)
        significand += rest > half or (rest == half and significand % 2 == 1)
        units = significand << dropped
    if units < 1 << (_UNIT - 126):
        return Number(negative, 0)
    return Number(negative, None if units >= 1 << (_UNIT + 128) else units)


def _fma(x, y, z):
    """The FP32 result of x * y + z with FTZ=1, rounded once."""
    if x is None or y is None or z is None:
        return None
    negative = x.negative != y.negative
    if x.units is None or y.units is None:
        if 0 in (x.units, y.units) or (z.units is None and z.negative != negative):
            return None
        return Number(negative, None)
    if z.units is None:
        return z
    product = x.units * y.units >> _UNIT
    total = (-product if negative else product) + (-z.units if z.negative else z.units)
    if total == 0:
        return Number(negative and z.negative, 0)
    return _rounded(total < 0, abs(total))


def _add(x, y):
    return _fma(x, _ONE, y)


def _float_element(mnemonic, a, b, c):
    """One element of C from the pairs (bits) in its row of A and its column of B."""
    bf16 = mnemonic == "tdpbf16ps"
    even: Number | None = _ZERO
    odd: Number | None = _ZERO
    for pair_a, pair_b in zip(a, b, strict=True):
        # FP16 denormals are normal numbers in FP32, in which the instruction computes.
        a0, a1, b0, b1 = (
            _decode(bits, 8, 7, daz=True) if bf16 else _decode(bits, 5, 10, daz=False)
            for bits in (*pair_a, *pair_b)
        )
        if mnemonic == "tcmmimfp16ps":
            a0, a1 = a1, a0
        if mnemonic == "tcmmrlfp16ps":
            a1 = a1 and a1.negated()
        even = _fma(a0, b0, even)
        odd = _fma(a1, b1, odd)
    return _encode(_add(_decode(c, 8, 23, daz=True), _add(even, odd)))


def _integer_element(mnemonic, a, b, c):
    """One element of C (bits) from the bytes in its row of A and its column of B."""

    def value(byte, kind):
        return byte - 256 if kind == "s" and byte > 127 else byte

    # The mnemonic is tdpb, then s or u for A, then for B, then d.
    products = (value(x, mnemonic[4]) * value(y, mnemonic[5]) for x, y in zip(a, b, strict=True))
    return (c + sum(products)) % 2**32


def exact_dot(mnemonic, a, b, c):
    """What ``TileInstruction.oracle`` computes."""
    result = np.empty_like(c)
    for tile, row, column in np.ndindex(c.shape):
        in_a = [bytes(group) for group in a[tile, row].reshape(-1, 4)]
        in_b = [bytes(group) for group in b[tile].reshape(len(in_a), -1, 4)[:, column]]
        bits = int(c[tile, row, column])
        if mnemonic.endswith("d"):
            found = _integer_element(mnemonic, b"".join(in_a), b"".join(in_b), bits)
        else:
            found = _float_element(mnemonic, _pairs(in_a), _pairs(in_b), bits)
        result[tile, row, column] = found
    return result


def _pairs(groups):
    return [
        (int.from_bytes(group[:2], "little"), int.from_bytes(group[2:], "little"))
        for group in groups
    ]
