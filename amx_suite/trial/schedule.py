"""The order in which arms take their turns."""

from __future__ import annotations

__all__ = ["orders"]

import random
from collections.abc import Iterator, Sequence


def orders(names: Sequence[str], seed: int) -> Iterator[tuple[str, ...]]:
    """An endless series of random orders of the names, the same for the same seed and names."""
    # Text seeds are hashed by SHA-512, so the series does not depend on the hash seed.
    generator = random.Random(f"{seed}:{','.join(names)}")
    while True:
        order = list(names)
        generator.shuffle(order)
        yield tuple(order)
