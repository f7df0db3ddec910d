"""Rows for pytest-benchmark whose times were measured elsewhere.

A benchmark row is filled by calling a target under a timer. Here the timer is a virtual clock and
each call of the target moves it by the seconds that a child reported for one round, so that every
statistic in the row is the child's own.
"""

from __future__ import annotations

__all__ = ["VirtualClock", "replay"]

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture


class VirtualClock:
    """A timer that stands still until it is advanced; in seconds."""

    def __init__(self) -> None:
        self._now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds


def replay(benchmark: BenchmarkFixture, clock: VirtualClock, seconds: Sequence[float]) -> None:
    """Fill the row with one round for each of ``seconds``; does nothing where rows are disabled.

    The fixture must have been made with ``clock`` as its timer. Raises ValueError for no seconds:
    an empty row would look like a measurement.
    """
    if not seconds:
        raise ValueError("a benchmark row needs at least one round")
    if benchmark.disabled:
        return
    remaining: Iterator[float] = iter(seconds)
    # `benchmark(...)` would calibrate on the clock and never end; `pedantic` takes it as it is.
    benchmark.pedantic(lambda: clock.advance(next(remaining)), rounds=len(seconds), iterations=1)
