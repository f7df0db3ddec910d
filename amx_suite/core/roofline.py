"""What a step could reach here, from the matrix products it computes: the roofline model.

S. Williams, A. Waterman, D. Patterson, "Roofline: an insightful visual performance model for
multicore architectures", CACM 52(4), 2009: what computes no faster than its unit and moves its
operands no faster than memory takes at least max(operations / peak, bytes / bandwidth). It is taken
of each product and then summed, since one product may wait for memory and the next for the unit.

It is a model of what is attainable and not a bound. Every product is taken to read its operands
from memory once and to write its result there once, each element in the arm's own format and at the
rate at which memory is read. Caches that hold an operand from one product to the next, or kernels
that fuse two products as attention does, can beat it. Elementwise operations, reorders and
conversions between formats are not counted, so most steps stay below it.
"""

from __future__ import annotations

__all__ = ["Product", "Roofline", "bytes_in", "operations_in", "roofline"]

from collections.abc import Iterable

import msgspec

from amx_suite.core.case import RunCase
from amx_suite.core.peaks import Peaks
from amx_suite.core.units import Unit


class Product(msgspec.Struct, frozen=True, order=True):
    """``count`` matrix products of a step that are alike.

    Each takes ``operations`` multiplications and additions, and has ``elements`` in its operands
    and result together.
    """

    operations: int
    elements: int
    count: int = 1


class Roofline(msgspec.Struct, frozen=True):
    """The attainable ``seconds`` of a step, and the share of them in which memory is the limit."""

    seconds: float
    memory_share: float


def operations_in(products: Iterable[Product]) -> int:
    """Multiplications and additions of all the products."""
    return sum(product.operations * product.count for product in products)


def bytes_in(products: Iterable[Product], case: RunCase) -> int:
    """Bytes of the operands and results of all the products in the case's format."""
    elements = sum(product.elements * product.count for product in products)
    return elements * case.precision.element_bytes


def roofline(peaks: Peaks, case: RunCase, products: Iterable[Product]) -> Roofline | None:
    """The model for a step of the case on a machine of these peaks.

    None where there are no products, or no peak was read of the unit that the case may use or of
    memory.
    """
    peak, bandwidth = peaks.of_unit(case), peaks.rates.get(Unit.MEMORY)
    if peak is None or bandwidth is None:
        return None
    total = in_memory = 0.0
    for product in products:
        computing = product.operations / peak
        moving = product.elements * case.precision.element_bytes / bandwidth.median
        total += product.count * max(computing, moving)
        if moving > computing:
            in_memory += product.count * moving
    return Roofline(total, in_memory / total) if total else None
