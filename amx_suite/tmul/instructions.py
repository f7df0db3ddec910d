"""The tile dot-product instructions: what each needs, and in numpy what it must give, bit for bit.

Source: Intel SDM volume 2, operands, feature flags and "Operation" of each instruction. The
floating-point forms keep two FP32 accumulators for each element of C, one for the even and one for
the odd element of every pair, both starting at +0. Each step along the summed dimension is one
fused multiply-add, "with DAZ=FTZ=1, RNE rounding"; at the end C becomes C + (even + odd), under the
same rules. MXCSR is neither consulted nor updated. The integer forms add four products of bytes at
a time to a 32-bit integer and wrap.

How float64 gives an FP32 fused multiply-add exactly:

- A product of two BF16 numbers has 16 significant bits, of two FP16 numbers 22: float64 holds it.
- Adding it to an FP32 number rounds to 53 bits, and then to 24. Both addends have at most 24 bits,
  so rounding twice gives the same as rounding once: if the exact sum needs more than 53 bits, its
  smaller addend is less than 2**-28 of it. The sum then lies that near to the other addend, a
  number of 24 bits, and no midpoint between two such numbers is as near.
- A result is flushed if it is "non-zero and tiny" once rounded "with unbounded exponent" (SDM
  volume 1, 4.9.1.5), and becomes zero "with the sign of the true result" (10.2.3.3). Just below
  2**-126 that rounding has steps of 2**-150, so a result below 2**-126 - 2**-151 is flushed, and
  the others become 2**-126. Rounding to FP32 first and flushing denormals afterwards would be
  wrong: FP32's steps there are 2**-149, so results down to 2**-126 - 2**-150 would be kept.

The payload and sign of a NaN are not modelled.

Operands are tiles as they lie in memory, with a leading batch dimension:

- A, uint8 [batch, rows, k_bytes]
- B, uint8 [batch, k_bytes / 4, n_bytes]: each 32-bit group holds what meets one 32-bit group of A
- C and the result, uint32 bits of FP32 or int32 [batch, rows, n_bytes / 4]
"""

from __future__ import annotations

__all__ = ["INSTRUCTIONS", "ByteTiles", "Element", "TileInstruction", "WordTiles"]

from collections.abc import Callable
from enum import StrEnum
from typing import Any, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt

ByteTiles: TypeAlias = npt.NDArray[np.uint8]
WordTiles: TypeAlias = npt.NDArray[np.uint32]
#: From A, B and C to the result.
_Dot: TypeAlias = Callable[[ByteTiles, ByteTiles, WordTiles], WordTiles]

_Real: TypeAlias = npt.NDArray[np.float64]

#: Magnitudes below this are tiny after rounding to 24 bits; this one is a tie and goes to 2**-126.
_TINY = 2.0**-126 - 2.0**-151

#: Tiles computed at a time, so that the intermediate arrays of full tiles stay in the L2 cache.
_CHUNK_TILES = 32


class Element(StrEnum):
    """What an instruction multiplies."""

    BF16 = "bf16"
    FP16 = "fp16"
    INT8 = "int8"


class TileInstruction(msgspec.Struct, frozen=True):
    """One instruction ``mnemonic C, A, B``, which adds A x B to C.

    ``feature`` is the CPUID feature it needs besides AMX-TILE. ``dot`` computes the exact result of
    a few tiles. C holds FP32 numbers, or 32-bit integers for INT8.
    """

    mnemonic: str
    feature: str
    element: Element
    dot: _Dot

    @property
    def is_float(self) -> bool:
        """Whether C holds FP32 numbers rather than integers."""
        return self.element is not Element.INT8

    @property
    def group(self) -> int:
        """Elements of A, and of B, in 32 bits."""
        return 2 if self.is_float else 4

    def operations(self, rows: int, k_bytes: int, n_bytes: int) -> int:
        """Multiplications and additions of one execution on tiles of these sizes."""
        return 2 * rows * (k_bytes // 4 * self.group) * (n_bytes // 4)

    def oracle(self, a: ByteTiles, b: ByteTiles, c: WordTiles) -> WordTiles:
        """The exact C + A x B of any number of tiles."""
        result = np.empty(c.shape, np.uint32)
        for start in range(0, len(c), _CHUNK_TILES):
            part = slice(start, start + _CHUNK_TILES)
            result[part] = self.dot(a[part], b[part], c[part])
        return result

    def differs(self, found: WordTiles, expected: WordTiles) -> npt.NDArray[np.bool_]:
        """Where two results (bits) are not the same; any NaN is the same as any other."""
        different: npt.NDArray[np.bool_] = found != expected
        if self.is_float:
            both_nan = np.isnan(found.view(np.float32)) & np.isnan(expected.view(np.float32))
            different &= ~both_nan
        return different


def _integers(a_type: Any, b_type: Any) -> _Dot:
    """C + A x B modulo 2**32 of bytes of these types."""

    def dot(a: ByteTiles, b: ByteTiles, c: WordTiles) -> WordTiles:
        left = np.ascontiguousarray(a).view(a_type).astype(np.uint32)
        # From [batch, k, n, 4] to rows along the whole summed dimension, [batch, 4 k, n].
        right = _grouped(b, b_type).astype(np.uint32).swapaxes(2, 3)
        right = right.reshape(len(b), left.shape[2], -1)
        # Modulo 2**32 signed and unsigned products and sums are the same.
        products: WordTiles = left @ right
        return c + products

    return dot


def _pairs(
    widen: Callable[[ByteTiles], _Real], arrange: Callable[[_Real], _Real] = lambda a: a
) -> _Dot:
    """C + A x B of pairs: the even and the odd products in an accumulator each.

    ``widen`` makes numbers of A's and B's bytes; ``arrange`` puts the elements of A's pairs in the
    order in which they meet those of B's.
    """

    def dot(a: ByteTiles, b: ByteTiles, c: WordTiles) -> WordTiles:
        # NaN, infinities and results out of range are part of the definition.
        with np.errstate(all="ignore"):
            # Tiles last, since numpy is fast along the last dimension only: A becomes
            # [k, even or odd, rows, 1, batch] and B [k, even or odd, 1, columns, batch].
            left = np.ascontiguousarray(arrange(widen(a)).transpose(2, 3, 1, 0))[:, :, :, None]
            right = np.ascontiguousarray(widen(b).transpose(1, 3, 2, 0))[:, :, None]
            sums = _accumulate(left, right)
            result = sums[0] + sums[1]
            _round(result)
            result += _fp32_or_zero(c.transpose(1, 2, 0))
            return _round(result).view(np.uint32).transpose(2, 0, 1)

    return dot


def _from_bf16(tiles: ByteTiles) -> _Real:
    """BF16 numbers [batch, rows, groups, 2]; a denormal is a zero of the same sign (DAZ)."""
    # BF16 is the upper half of FP32.
    bits = _grouped(tiles, np.uint16).astype(np.uint32)
    return _fp32_or_zero(bits << np.uint32(16))


def _from_fp16(tiles: ByteTiles) -> _Real:
    """FP16 numbers [batch, rows, groups, 2]; denormals keep their value."""
    # Every FP16 denormal is a normal number in FP32, so DAZ does not apply to it.
    return _grouped(tiles, np.float16).astype(np.float64)


def _grouped(tiles: ByteTiles, element: Any) -> npt.NDArray[Any]:
    """The elements of each 32-bit group side by side: [batch, rows, groups, elements]."""
    elements: npt.NDArray[Any] = np.ascontiguousarray(tiles).view(element)
    return elements.reshape(*tiles.shape[:2], tiles.shape[2] // 4, -1)


def _accumulate(left: _Real, right: _Real) -> _Real:
    """The even and the odd sums of products: FP32 values [2, rows, columns, batch]."""
    products = np.empty(np.broadcast_shapes(left.shape[1:], right.shape[1:]))
    sums = np.zeros_like(products)
    for a, b in zip(left, right, strict=True):
        np.multiply(a, b, out=products)
        sums += products
        _round(sums)
    return sums


def _round(values: _Real) -> npt.NDArray[np.float32]:
    """FP32 results of one step with FTZ=1, from exact ``values``, which it overwrites with them."""
    tiny = np.abs(values) < _TINY
    rounded = values.astype(np.float32)
    # A product with zero keeps the sign.
    np.multiply(rounded, np.float32(0), out=rounded, where=tiny)
    values[...] = rounded
    return rounded


def _fp32_or_zero(bits: WordTiles) -> _Real:
    """FP32 values with DAZ=1: a denormal is a zero of the same sign."""
    denormal = bits & 0x7F800000 == 0
    return np.where(denormal, bits & 0x80000000, bits).view(np.float32).astype(np.float64)


#: Pairs are (real, imaginary). The even accumulator sums imaginary(A) x real(B), the odd one
#: real(A) x imaginary(B).
_IMAGINARY_PARTS = _pairs(_from_fp16, lambda a: a[..., ::-1])
#: The even accumulator sums real(A) x real(B), the odd one -imaginary(A) x imaginary(B).
_REAL_PARTS = _pairs(_from_fp16, lambda a: a * [1.0, -1.0])

#: By mnemonic.
INSTRUCTIONS: dict[str, TileInstruction] = {
    mnemonic: TileInstruction(mnemonic, feature, element, dot)
    for mnemonic, feature, element, dot in (
        ("tdpbf16ps", "AMX-BF16", Element.BF16, _pairs(_from_bf16)),
        ("tdpbssd", "AMX-INT8", Element.INT8, _integers(np.int8, np.int8)),
        ("tdpbsud", "AMX-INT8", Element.INT8, _integers(np.int8, np.uint8)),
        ("tdpbusd", "AMX-INT8", Element.INT8, _integers(np.uint8, np.int8)),
        ("tdpbuud", "AMX-INT8", Element.INT8, _integers(np.uint8, np.uint8)),
        ("tdpfp16ps", "AMX-FP16", Element.FP16, _pairs(_from_fp16)),
        ("tcmmimfp16ps", "AMX-COMPLEX", Element.FP16, _IMAGINARY_PARTS),
        ("tcmmrlfp16ps", "AMX-COMPLEX", Element.FP16, _REAL_PARTS),
    )
}
