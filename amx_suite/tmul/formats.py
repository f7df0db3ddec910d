"""Binary floating-point formats: their limits, their special numbers, random numbers."""

from __future__ import annotations

__all__ = ["BF16", "FP16", "FP32", "FloatFormat", "random_numbers"]

from typing import NamedTuple

import numpy as np
import numpy.typing as npt


class FloatFormat(NamedTuple):
    """A binary floating-point format as in IEEE 754."""

    exponent_bits: int
    fraction_bits: int

    @property
    def highest(self) -> int:
        """Exponent of the largest numbers."""
        return (1 << (self.exponent_bits - 1)) - 1

    @property
    def lowest_normal(self) -> int:
        """Exponent of the smallest numbers that are not denormal."""
        return 1 - self.highest

    @property
    def lowest(self) -> int:
        """Exponent of the smallest denormal."""
        return self.lowest_normal - self.fraction_bits

    @property
    def smallest_normal(self) -> int:
        """Bits of the smallest number that is not denormal: the lowest bit of the exponent."""
        return 1 << self.fraction_bits

    @property
    def infinity(self) -> int:
        """Bits of infinity: all bits of the exponent."""
        return ((1 << self.exponent_bits) - 1) << self.fraction_bits

    def specials(self) -> npt.NDArray[np.uint32]:
        """Bits of zero, infinity, NaN (quiet, signalling) and the ends of ranges, both signs."""
        quiet = self.infinity + self.smallest_normal // 2
        signalling = (self.infinity + 1, quiet - 1)
        ends = (self.infinity - 1, self.smallest_normal, self.smallest_normal - 1, 1)
        positive = np.array([0, self.infinity, quiet, *signalling, *ends], np.uint32)
        sign = np.uint32(1 << (self.exponent_bits + self.fraction_bits))
        return np.concatenate([positive, positive | sign])


FP32 = FloatFormat(8, 23)
FP16 = FloatFormat(5, 10)
BF16 = FloatFormat(8, 7)


def random_numbers(
    rng: np.random.Generator, exponents: npt.NDArray[np.int64], fraction_bits: int
) -> npt.NDArray[np.float64]:
    """Numbers with these exponents, random signs and random significands."""
    significands = 2**fraction_bits + rng.integers(2**fraction_bits, size=exponents.shape)
    signs = rng.choice([-1.0, 1.0], exponents.shape)
    numbers: npt.NDArray[np.float64] = np.ldexp(signs * significands, exponents - fraction_bits)
    return numbers
