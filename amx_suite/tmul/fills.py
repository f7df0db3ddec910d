"""Operands that show what a tile instruction may get wrong, by name.

Most results must be ordinary numbers to show a fault, and one NaN or infinity spoils every result
of its row of A or column of B. Where a fill holds such values, each row and column therefore has a
density of its own, from almost none to many.
"""

from __future__ import annotations

__all__ = ["Operands", "fill", "fills_for"]

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from amx_suite.tmul.instructions import ByteTiles, Element, TileInstruction, WordTiles

_Real: TypeAlias = npt.NDArray[np.float64]
_Exponents: TypeAlias = npt.NDArray[np.int64]

#: Share of the rows of A and columns of B that hold no infinity and no NaN among random bits.
_FINITE = 0.75


class Operands(NamedTuple):
    """Tiles in the order in which ``TileInstruction.oracle`` takes them."""

    a: ByteTiles
    b: ByteTiles
    c: WordTiles


def fill(
    name: str,
    instruction: TileInstruction,
    rng: np.random.Generator,
    batch: int,
    rows: int,
    k_bytes: int,
    n_bytes: int,
) -> Operands:
    """A [batch, rows, k_bytes], B [batch, k_bytes / 4, n_bytes], C [batch, rows, n_bytes / 4].

    The same generator state gives the same operands. Raises ValueError for a fill that
    ``fills_for`` does not name.
    """
    make = _fills(instruction).get(name)
    if make is None:
        raise ValueError(f"no fill '{name}' makes operands for {instruction.mnemonic}")
    return make(_Draw(instruction, rng, batch, rows, k_bytes // 4, n_bytes // 4))


def fills_for(instruction: TileInstruction) -> tuple[str, ...]:
    """Names of the fills that suit the instruction."""
    return tuple(_fills(instruction))


class _Format(NamedTuple):
    """A binary floating-point format of IEEE 754: exponents of its numbers, and bits of some."""

    exponent_bits: int
    fraction_bits: int

    @property
    def highest(self) -> int:
        return (1 << (self.exponent_bits - 1)) - 1

    @property
    def lowest_normal(self) -> int:
        return 1 - self.highest

    @property
    def lowest(self) -> int:
        """Of the smallest denormal."""
        return self.lowest_normal - self.fraction_bits

    @property
    def smallest_normal(self) -> int:
        """Bits: the lowest of the exponent."""
        return 1 << self.fraction_bits

    @property
    def infinity(self) -> int:
        """Bits: all of the exponent."""
        return ((1 << self.exponent_bits) - 1) << self.fraction_bits

    def specials(self) -> npt.NDArray[np.uint32]:
        """Bits of zero, infinity, NaN (quiet, signalling) and the ends of ranges, both signs."""
        quiet = self.infinity + self.smallest_normal // 2
        signalling = (self.infinity + 1, quiet - 1)
        ends = (self.infinity - 1, self.smallest_normal, self.smallest_normal - 1, 1)
        positive = np.array([0, self.infinity, quiet, *signalling, *ends], np.uint32)
        sign = np.uint32(1 << (self.exponent_bits + self.fraction_bits))
        return np.concatenate([positive, positive | sign])


_FP32, _FP16, _BF16 = _Format(8, 23), _Format(5, 10), _Format(8, 7)


class _Draw(NamedTuple):
    """What a fill draws operands from.

    ``batch`` tiles of A and C have ``rows`` rows; ``k`` and ``n`` are the 32-bit groups in a row of
    A, and in a row of B and C.
    """

    instruction: TileInstruction
    rng: np.random.Generator
    batch: int
    rows: int
    k: int
    n: int

    @property
    def form(self) -> _Format:
        return _FP16 if self.instruction.element is Element.FP16 else _BF16

    def numbers(self, exponents: _Exponents, fraction_bits: int = _FP32.fraction_bits) -> _Real:
        """Numbers with these exponents, random signs and random significands."""
        significands = 2**fraction_bits + self.rng.integers(2**fraction_bits, size=exponents.shape)
        signs = self.rng.choice([-1.0, 1.0], exponents.shape)
        numbers: _Real = np.ldexp(signs * significands, exponents - fraction_bits)
        return numbers

    def products(self, sizes: _Exponents) -> tuple[_Real, _Real]:
        """A and B whose products have about the exponents ``sizes`` [batch, k, 1, 2].

        Which of the two has how much of an exponent is random, so each has every possible exponent.
        """
        _, rng, batch, rows, k, n = self
        form = self.form
        lowest = np.maximum(form.lowest, sizes - form.highest)
        highest = np.minimum(form.highest, sizes - form.lowest)
        in_a = rng.integers(lowest, highest, endpoint=True)
        a_exponents = in_a.reshape(batch, 1, k, 2) + rng.integers(-1, 2, (batch, rows, k, 2))
        b_exponents = sizes - in_a + rng.integers(-1, 2, (batch, k, n, 2))
        a, b = (
            self.numbers(np.minimum(exponents, form.highest), form.fraction_bits)
            for exponents in (a_exponents, b_exponents)
        )
        return a, b

    def normals(self) -> tuple[_Real, _Real, _Real]:
        """A, B and C; every step rounds, no sum leaves the range."""
        _, rng, batch, rows, k, n = self
        a = rng.standard_normal((batch, rows, k, 2))
        b = rng.standard_normal((batch, k, n, 2))
        c = rng.standard_normal((batch, rows, n)) * np.sqrt(2 * k)
        return a, b, c

    def pack(self, a: _Real, b: _Real, c: _Real) -> Operands:
        """Tiles of A [batch, rows, k, 2], B [batch, k, n, 2] and C [batch, rows, n]."""

        def tiles(values: _Real) -> ByteTiles:
            if self.form is _FP16:
                bits = values.astype(np.float16).view(np.uint16)
            else:
                bits = (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
            return bits.reshape(*values.shape[:2], -1).view(np.uint8)

        return Operands(tiles(a), tiles(b), c.astype(np.float32).view(np.uint32))


def _uniform(draw: _Draw) -> Operands:
    """Every bit pattern equally likely; for floats, with rows and columns that stay finite."""
    instruction, rng, batch, rows, k, n = draw
    a = rng.integers(256, size=(batch, rows, 4 * k), dtype=np.uint8)
    b = rng.integers(256, size=(batch, k, 4 * n), dtype=np.uint8)
    c = rng.integers(2**32, size=(batch, rows, n), dtype=np.uint32)
    if instruction.is_float:
        form = draw.form
        finite_rows = rng.random((batch, rows, 1)) < _FINITE
        finite_columns = np.repeat(rng.random((batch, 1, n)) < _FINITE, 2, axis=2)
        for bits, finite in ((a.view(np.uint16), finite_rows), (b.view(np.uint16), finite_columns)):
            bits[((bits & form.infinity) == form.infinity) & finite] ^= form.smallest_normal
        # Rows of few products, since a sum of many overflows.
        density = rng.random((batch, rows, 1)) ** 3
        a.view(np.uint16)[rng.random((batch, rows, 2 * k)) > density] = 0
    return Operands(a, b, c)


def _ordinary(draw: _Draw) -> Operands:
    return draw.pack(*draw.normals())


def _exponents(draw: _Draw) -> Operands:
    """Every exponent in A and B, and products of one size in a tile, some near either limit."""
    _, rng, batch, rows, k, n = draw
    smallest = max(2 * draw.form.lowest, _FP32.lowest)
    largest = min(2 * draw.form.highest, _FP32.highest - 3)
    sizes = rng.integers(smallest, largest, (batch, 1, 1, 1))
    a, b = draw.products(np.broadcast_to(sizes, (batch, k, 1, 2)))
    return draw.pack(a, b, draw.numbers(sizes[:, :, 0] + rng.integers(0, 4, (batch, rows, n))))


def _denormals(draw: _Draw) -> Operands:
    """Denormal operands, and for BF16 sums on both sides of the smallest normal FP32 number."""
    _, rng, batch, rows, k, n = draw
    form = draw.form
    smallest = max(_FP32.lowest_normal, form.lowest + form.lowest_normal)
    sizes = rng.integers(smallest - 10, smallest + 4, (batch, k, 1, 2))
    a, b = draw.products(np.maximum(sizes, 2 * form.lowest))
    if smallest == _FP32.lowest_normal:
        # In every second tile the accumulators start at exactly that number, and half a step of
        # it, up or down, decides whether a sum is tiny.
        edge = draw.products(rng.integers(smallest - 27, smallest - 22, (batch, k, 1, 2)))
        a[::2], b[::2] = edge[0][::2], edge[1][::2]
        a[::2, :, 0] = b[::2, 0] = np.ldexp(1.0, smallest // 2)
    # With a row of zeros the result is C alone.
    a[:, ::4] = 0
    c_exponents = rng.integers(_FP32.lowest, _FP32.lowest_normal + 4, (batch, rows, n))
    return draw.pack(a, b, draw.numbers(c_exponents))


def _specials(draw: _Draw) -> Operands:
    """Zeros of both signs, infinities, NaN and the ends of ranges among ordinary numbers."""
    _, rng, batch, rows, _, n = draw
    operands = _ordinary(draw)
    by_row = rng.random((batch, rows, 1)) ** 12
    by_column = np.repeat(rng.random((batch, 1, n)) ** 12, 2, axis=2)
    for bits, form, density in (
        (operands.a.view(np.uint16), draw.form, by_row),
        (operands.b.view(np.uint16), draw.form, by_column),
        (operands.c, _FP32, np.full((1, 1, 1), 0.25)),
    ):
        chosen = rng.random(bits.shape) < density
        bits[chosen] = rng.choice(form.specials(), np.count_nonzero(chosen))
    return operands


def _cancellation(draw: _Draw) -> Operands:
    """Products that nearly cancel the one before, and a C that nearly cancels their sum."""
    a, b, c = draw.normals()
    even = draw.k // 2 * 2
    a[:, :, 1:even:2] = -a[:, :, 0:even:2]
    step = 2.0**-draw.form.fraction_bits
    b[:, 1:even:2] = b[:, 0:even:2] * (1 + step * draw.rng.integers(-1, 2, b[:, 0:even:2].shape))
    operands = draw.pack(a, b, np.zeros_like(c))
    sums = draw.instruction.oracle(*operands)
    steps = draw.rng.integers(-2, 3, sums.shape).astype(np.uint32)
    return operands._replace(c=(sums ^ np.uint32(1 << 31)) + steps)


def _ties(draw: _Draw) -> Operands:
    """Sums whose last bit is worth 1 or 2, plus small multiples of a quarter."""
    _, rng, batch, rows, k, n = draw
    fraction_bits = draw.form.fraction_bits
    quarters = rng.integers(-4, 5, (batch, rows, k, 2)) / 4
    small = rng.integers(1, 4, (batch, k, n, 2)).astype(np.float64)
    quarters[:, :, 0] = draw.numbers(np.full((batch, rows, 2), 12), fraction_bits)
    small[:, 0] = draw.numbers(np.full((batch, n, 2), 11), fraction_bits)
    return draw.pack(quarters, small, draw.numbers(rng.integers(23, 26, (batch, rows, n))))


def _extremes(draw: _Draw) -> Operands:
    """The largest and smallest bytes, signed or not; every second row of A is constant."""
    _, rng, batch, rows, k, n = draw
    limits = np.array([0x80, 0x7F, 0xFF, 0x00, 0x81, 0x01], np.uint8)
    a = rng.choice(limits, (batch, rows, 4 * k))
    a[:, ::2] = a[:, ::2, :1]
    b = rng.choice(limits, (batch, k, 4 * n))
    # And every second column of B: a column is four bytes wide.
    columns = b.reshape(batch, k, n, 4)
    columns[:, :, ::2] = columns[:, :1, ::2, :1]
    c = rng.choice(np.array([0, 1, 2**31 - 1, 2**31, 2**32 - 1], np.uint32), (batch, rows, n))
    return Operands(a, b, c)


def _wrap(draw: _Draw) -> Operands:
    """C within a few products of where 32-bit integers, signed or unsigned, wrap."""
    operands = _uniform(draw)
    limits = draw.rng.choice([0, 2**31], operands.c.shape)
    near = limits + draw.rng.integers(-(2**16), 2**16, operands.c.shape)
    return operands._replace(c=near.astype(np.uint32))


_Make: TypeAlias = Callable[[_Draw], Operands]

_FLOAT_FILLS: dict[str, _Make] = {
    "uniform": _uniform,
    "ordinary": _ordinary,
    "exponents": _exponents,
    "denormals": _denormals,
    "specials": _specials,
    "cancellation": _cancellation,
    "ties": _ties,
}
_INTEGER_FILLS: dict[str, _Make] = {"uniform": _uniform, "extremes": _extremes, "wrap": _wrap}


def _fills(instruction: TileInstruction) -> dict[str, _Make]:
    return _FLOAT_FILLS if instruction.is_float else _INTEGER_FILLS
