"""The measuring loop: rounds of slices, waited for and repeated until they are quiet."""

from __future__ import annotations

__all__ = ["Rounds", "Told"]

from collections.abc import Callable, Sequence

from amx_suite.core.case import Arm
from amx_suite.core.measurement import Round, Slice
from amx_suite.core.quiet import Reading, Reference
from amx_suite.trial.decide import LEAST_ROUNDS, MOST_BUDGETS, MOST_LOST
from amx_suite.trial.pool import Prober, StartProber, WorkerPool
from amx_suite.trial.schedule import orders

#: Told between slices: quiet rounds so far, seconds passed, and what is busy while it waits.
Told = Callable[[int, float, "Reading | None"], None]


class Rounds:
    """Takes rounds and keeps all of them in ``taken``. It never looks at a speedup.

    Without a ``reference`` nothing is read and nothing waited for, and every slice is kept. The
    prober is started when it is first needed.
    """

    def __init__(
        self,
        pool: WorkerPool,
        start_prober: StartProber,
        reference: Reference | None,
        clock: Callable[[], float],
    ) -> None:
        self.taken: list[Round] = []
        self._pool = pool
        self._start_prober = start_prober
        self._prober: Prober | None = None
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
        told: Told,
    ) -> None:
        """Launch ``number``: until ``wanted`` rounds were quiet, or ``budget`` seconds are spent.

        Its first round waits for nothing, so that every arm is timed even where it is never quiet.
        A case whose worker is lost in a way that the others survive is given up.
        """
        launch = _Launch(self._clock, budget)
        self._last = None
        by_id = {case.id: case for case in cases}
        for order in orders(list(by_id), seed):
            living = [by_id[case_id] for case_id in order if case_id in self._pool.live]
            if not living or launch.quiet_rounds >= wanted or launch.is_over():
                return
            began, lost = self._clock(), launch.lost
            kept, disturbed = self._take_round(living, launch, told)
            launch.patient = True
            still = {case.id for case in living} & self._pool.live
            launch.quiet_rounds += still <= {piece.arm_id for piece in kept}
            seconds = self._clock() - began
            self.taken.append(
                Round(len(self.taken), kept, number, disturbed, seconds, launch.lost - lost)
            )
            told(launch.quiet_rounds, launch.elapsed(), None)

    def close(self) -> None:
        """End the prober."""
        if self._prober is not None:
            self._prober.close()
            self._prober = None

    def _take_round(
        self, cases: Sequence[Arm], launch: _Launch, told: Told
    ) -> tuple[tuple[Slice, ...], tuple[Slice, ...]]:
        """The quiet slices and the disturbed ones; stops where the launch is over."""
        kept: list[Slice] = []
        disturbed: list[Slice] = []
        for case in cases:
            while case.id in self._pool.live:
                if not self._wait(launch, told):
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

    def _wait(self, launch: _Launch, told: Told) -> bool:
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
            told(launch.quiet_rounds, launch.elapsed(), reading)
            if launch.is_over():
                return False

    def _slice(self, case: Arm) -> Slice | None:
        """One slice with the readings around it; None if the case had to be given up."""
        before = self._last
        try:
            taken = self._pool.worker(case).take_slice(self._pool.facts[case.id].iterations)
        except self._pool.survivable as error:
            self._pool.give_up(case, error)
            return None
        self._last = None if self._reference is None else self._read()
        return Slice(case.id, taken.seconds, taken.iterations, before, self._last)

    def _is_quiet(self, piece: Slice) -> bool:
        return self._reference is None or all(map(self._reference.is_quiet, piece.readings))

    def _read(self) -> Reading:
        prober = self._prober = self._prober or self._start_prober()
        return prober.probe()


class _Launch:
    """How far a launch is, and whether its time is up."""

    def __init__(self, clock: Callable[[], float], budget: float) -> None:
        self._clock = clock
        self._began = clock()
        self._budget = budget
        self.quiet_rounds = 0
        self.lost = 0.0
        #: Whether it waits for quiet: from its second round on.
        self.patient = False

    def elapsed(self) -> float:
        """Seconds since it began."""
        return self._clock() - self._began

    def is_over(self) -> bool:
        """Whether the budget is spent, or more of it where nothing but time is lacking."""
        elapsed = self.elapsed()
        if elapsed < self._budget:
            return False
        lacks_only_time = self.quiet_rounds < LEAST_ROUNDS and self.lost <= MOST_LOST * elapsed
        return not lacks_only_time or elapsed >= MOST_BUDGETS * self._budget
