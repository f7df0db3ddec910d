"""Takes rounds of slices: waits until the units are quiet, and repeats disturbed slices."""

from __future__ import annotations

__all__ = ["Progress", "Rounds"]

import random
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from amx_suite.core.case import Arm
from amx_suite.core.measurement import Round, Slice
from amx_suite.core.quiet import Reading, Reference
from amx_suite.errors import CeilingIgnoredError
from amx_suite.trial.decide import LEAST_ROUNDS, MOST_BUDGETS, MOST_LOST
from amx_suite.trial.pool import WorkerPool

if TYPE_CHECKING:
    from amx_suite.worker.unit_probe import UnitProbe

#: Called between slices with the number of quiet rounds, the seconds passed, and the busy reading
#: if it waits for quiet.
Progress = Callable[[int, float, "Reading | None"], None]


class Rounds:
    """Takes rounds and keeps all of them in ``taken``. It never looks at a speedup.

    Without a ``reference`` it reads no unit, does not wait, and keeps every slice. The probe starts
    when it is first needed.
    """

    def __init__(
        self,
        pool: WorkerPool,
        start_probe: Callable[[], UnitProbe],
        reference: Reference | None,
        clock: Callable[[], float],
    ) -> None:
        self.taken: list[Round] = []
        self._pool = pool
        self._start_probe = start_probe
        self._probe: UnitProbe | None = None
        self._reference = reference
        self._clock = clock
        self._last: Reading | None = None

    def measure(
        self,
        cases: Sequence[Arm],
        *,
        wanted: int,
        budget: float,
        number: int,
        seed: int,
        progress: Progress,
    ) -> None:
        """Launch ``number``: until ``wanted`` rounds were quiet, or ``budget`` seconds are spent.

        The first round does not wait, so that every arm is timed even where it is never quiet. If
        an arm's worker executes an instruction beyond its ceiling, the others go on without it.
        """
        launch = _Launch(self._clock, budget)
        self._last = None
        by_id = {case.id: case for case in cases}
        for order in _orders(list(by_id), seed):
            living = [by_id[case_id] for case_id in order if case_id in self._pool.live]
            if not living or launch.quiet_rounds >= wanted or launch.is_over():
                return
            began, lost = self._clock(), launch.lost
            kept, disturbed = self._take_round(living, launch, progress)
            launch.patient = True
            still = {case.id for case in living} & self._pool.live
            launch.quiet_rounds += still <= {piece.arm_id for piece in kept}
            seconds = self._clock() - began
            self.taken.append(
                Round(len(self.taken), kept, number, disturbed, seconds, launch.lost - lost)
            )
            progress(launch.quiet_rounds, launch.elapsed(), None)

    def close(self) -> None:
        """End the probe."""
        if self._probe is not None:
            self._probe.close()
            self._probe = None

    def _take_round(
        self, cases: Sequence[Arm], launch: _Launch, progress: Progress
    ) -> tuple[tuple[Slice, ...], tuple[Slice, ...]]:
        """The quiet slices and the disturbed ones; incomplete if the launch is over."""
        kept: list[Slice] = []
        disturbed: list[Slice] = []
        for case in cases:
            while case.id in self._pool.live:
                if not self._wait(launch, progress):
                    return tuple(kept), tuple(disturbed)
                began = self._clock()
                piece = self._slice(case)
                if piece is None:
                    break
                if self._is_quiet(piece):
                    kept.append(piece)
                    break
                disturbed.append(piece)
                launch.lost += self._clock() - began
                if not launch.patient:
                    break
        return tuple(kept), tuple(disturbed)

    def _wait(self, launch: _Launch, progress: Progress) -> bool:
        """Read until the units are quiet; False if the launch is over before they are."""
        if self._reference is None:
            return True
        while True:
            began = self._clock()
            reading = self._last or self._read()
            if not launch.patient or self._reference.is_quiet(reading):
                self._last = reading
                return True
            self._last = None
            launch.lost += self._clock() - began
            progress(launch.quiet_rounds, launch.elapsed(), reading)
            if launch.is_over():
                return False

    def _slice(self, case: Arm) -> Slice | None:
        """One slice with the readings around it; None if the arm was given up."""
        before = self._last
        try:
            taken = self._pool.worker(case).take_slice(self._pool.facts[case.id].iterations)
        except CeilingIgnoredError as error:
            self._pool.give_up(case, error)
            return None
        self._last = None if self._reference is None else self._read()
        return Slice(case.id, taken.seconds, taken.iterations, before, self._last)

    def _is_quiet(self, piece: Slice) -> bool:
        return self._reference is None or all(map(self._reference.is_quiet, piece.readings))

    def _read(self) -> Reading:
        probe = self._probe = self._probe or self._start_probe()
        return probe.probe()


def _orders(names: Sequence[str], seed: int) -> Iterator[tuple[str, ...]]:
    """Random orders without end, the same for the same seed and names."""
    # Text seeds are hashed by SHA-512, so the series does not depend on the hash seed.
    generator = random.Random(f"{seed}:{','.join(names)}")
    while True:
        order = list(names)
        generator.shuffle(order)
        yield tuple(order)


class _Launch:
    """The progress of a launch, and whether its time is up."""

    def __init__(self, clock: Callable[[], float], budget: float) -> None:
        self._clock = clock
        self._began = clock()
        self._budget = budget
        self.quiet_rounds = 0
        self.lost = 0.0
        #: Whether it waits for quiet: from its second round on.
        self.patient = False

    def elapsed(self) -> float:
        return self._clock() - self._began

    def is_over(self) -> bool:
        elapsed = self.elapsed()
        if elapsed < self._budget:
            return False
        lacks_only_time = self.quiet_rounds < LEAST_ROUNDS and self.lost <= MOST_LOST * elapsed
        return not lacks_only_time or elapsed >= MOST_BUDGETS * self._budget
