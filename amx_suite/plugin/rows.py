"""Rows of pytest-benchmark with times that a child measured.

pytest-benchmark fills a row by calling a target under a timer. Here the timer is a virtual clock,
and each call of the target advances it by the seconds of one round, so that all statistics of the
row are the child's.
"""

from __future__ import annotations

__all__ = ["AmxRow", "VirtualClock"]

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import pytest

from amx_suite.errors import AmxSuiteError
from amx_suite.plugin import baseline

if TYPE_CHECKING:
    from pytest_benchmark.fixture import BenchmarkFixture

    from amx_suite.plugin.run import Run


class VirtualClock:
    """A timer in seconds that stands still until it is advanced."""

    def __init__(self) -> None:
        self._now = 0.0

    def __call__(self) -> float:
        """The time."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds


class AmxRow:
    """A test's row in pytest-benchmark; ``benchmark`` must have been made with ``clock``."""

    def __init__(self, benchmark: BenchmarkFixture, clock: VirtualClock, run: Run) -> None:
        self._benchmark = benchmark
        self._clock = clock
        self._run = run

    @property
    def why_not_judged(self) -> str:
        """Why this run judges no speed, as under ``--benchmark-disable``; empty if it does."""
        return self._run.why_not_timed

    def fill(self, seconds: Sequence[float], case_id: str, **facts: object) -> None:
        """Fill the row with one round for each of ``seconds``; ``facts`` go into its extra_info.

        Fails the test if the baseline's row is of another case. With a case's ``conditions`` among
        the facts, the message says what differs, and ``--amx-across`` can allow it. Raises
        ValueError for no seconds: an empty row would look like a measurement.
        """
        if not seconds:
            raise ValueError("a benchmark row needs at least one round")
        benchmark, run = self._benchmark, self._run
        benchmark.extra_info.update({"case": case_id, **facts})
        try:
            notes = baseline.check_row(
                run.benchmarks, benchmark.fullname, benchmark.extra_info, run.settings.across
            )
        except AmxSuiteError as error:
            pytest.fail(str(error), pytrace=False)
        run.notes.update(dict.fromkeys(notes))
        if not benchmark.disabled:
            rounds: Iterator[float] = iter(seconds)
            # `benchmark(...)` would calibrate on the clock and never end.
            benchmark.pedantic(
                lambda: self._clock.advance(next(rounds)), rounds=len(seconds), iterations=1
            )
