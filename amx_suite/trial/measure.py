"""Takes the rounds of a launch: waits until the units are quiet, and repeats disturbed slices."""

from __future__ import annotations

__all__ = ["Launch"]

import itertools
import random
from collections.abc import Callable, Iterator, Sequence

from amx_suite.core.case import Arm
from amx_suite.core.measurement import Round, Slice
from amx_suite.core.quiet import Reading, Reference
from amx_suite.errors import CeilingIgnoredError, MachineChangedError
from amx_suite.host.standstill import awake
from amx_suite.trial.decide import LEAST_ROUNDS, MOST_BUDGETS, MOST_LOST
from amx_suite.trial.pool import WorkerPool

#: A request and its reply take milliseconds more than the slice, also on a busy host.
_LONGEST_STANDSTILL_SECONDS = 2.0


class Launch:
    """Takes rounds until enough were quiet, or its time is up. It never looks at a speedup.

    Without a ``reference`` it reads no unit and does not wait, and every round counts. ``say`` gets
    a line of progress between slices.
    """

    def __init__(
        self,
        pool: WorkerPool,
        reference: Reference | None,
        budget_seconds: float,
        rounds: int,
        say: Callable[[str], None],
    ) -> None:
        self._pool = pool
        self._clock = pool.clock
        self._reference = reference
        self._wanted = rounds
        self._budget = budget_seconds
        self._say = say
        self._began = self._clock()
        self._quiet_rounds = 0
        self._lost = 0.0
        self._last: Reading | None = None
        #: Whether it waits for quiet: from its second round on.
        self._patient = False

    def rounds(
        self, cases: Sequence[Arm], *, number: int, seed: int, first: int
    ) -> Iterator[Round]:
        """The rounds of launch ``number``; the first has index ``first`` in its trial.

        The first round does not wait, so that every arm is timed even where it is never quiet. If
        an arm's worker executes an instruction beyond its ceiling, the others go on without it.
        """
        # Text seeds are hashed by SHA-512, so the orders do not depend on the hash seed.
        generator = random.Random(f"{seed}:{','.join(case.id for case in cases)}")
        self._show_progress()
        for index in itertools.count(first):
            order = list(cases)
            generator.shuffle(order)
            living = self._pool.living(order)
            if not living or self._quiet_rounds >= self._wanted or self._is_over():
                return
            began, lost = self._clock(), self._lost
            with awake(self._pool.suspended):
                kept, disturbed = self._take_round(living)
            self._patient = True
            still = {case.id for case in self._pool.living(order)}
            self._quiet_rounds += still <= {piece.arm_id for piece in kept}
            seconds = self._clock() - began
            yield Round(index, kept, number, disturbed, seconds, self._lost - lost)
            self._show_progress()

    def _take_round(self, cases: Sequence[Arm]) -> tuple[tuple[Slice, ...], tuple[Slice, ...]]:
        """The quiet slices and the disturbed ones; incomplete if the launch is over."""
        kept: list[Slice] = []
        disturbed: list[Slice] = []
        for case in cases:
            while case in self._pool.live:
                if not self._wait():
                    return tuple(kept), tuple(disturbed)
                began, stopped = self._clock(), self._pool.throttled()
                piece = self._slice(case)
                if piece is None:
                    break
                # A quota that stopped the arm tells nothing of the machine.
                ran = self._pool.throttled() == stopped
                if self._reference is None or (
                    ran and all(map(self._reference.is_quiet, piece.readings))
                ):
                    kept.append(piece)
                    break
                disturbed.append(piece)
                self._lost += self._clock() - began
                if not self._patient:
                    break
        return tuple(kept), tuple(disturbed)

    def _wait(self) -> bool:
        """Read until the units are quiet; False if the launch is over before they are."""
        if self._reference is None:
            return True
        while True:
            began = self._clock()
            reading = self._last or self._pool.read()
            if not self._patient or self._reference.is_quiet(reading):
                self._last = reading
                return True
            self._last = None
            self._lost += self._clock() - began
            self._show_progress(reading)
            if self._is_over():
                return False

    def _slice(self, case: Arm) -> Slice | None:
        """One slice with the readings around it; None if the arm was given up."""
        before, began = self._last, self._clock()
        try:
            taken = self._pool.worker(case).take_slice(self._pool.facts[case].iterations)
        except CeilingIgnoredError as error:
            self._pool.give_up(case, error)
            return None
        # The child alone went on: this process was stopped, or its guest, or it had no CPU.
        stood_still = self._clock() - began - taken.seconds
        if stood_still > _LONGEST_STANDSTILL_SECONDS:
            raise MachineChangedError(
                f"this process stood still for {stood_still:.0f} s while an arm was timed, by "
                "SIGSTOP, Ctrl-Z or a pause of this guest"
            )
        self._last = None if self._reference is None else self._pool.read()
        return Slice(case.id, taken.seconds, taken.iterations, before, self._last)

    def _show_progress(self, busy: Reading | None = None) -> None:
        found = busy and self._reference and self._reference.busiest([busy])
        waiting = f", waiting: {found[0]} unit at {found[1]:.0%}" if found else ""
        elapsed = self._clock() - self._began
        quiet = "" if self._reference is None else "quiet "
        self._say(
            f"measuring: {self._quiet_rounds} of {self._wanted} {quiet}rounds, {elapsed:.0f} s of "
            f"{self._budget:.0f} s{waiting}"
        )

    def _is_over(self) -> bool:
        elapsed = self._clock() - self._began
        if elapsed < self._budget:
            return False
        lacks_only_time = self._quiet_rounds < LEAST_ROUNDS and self._lost <= MOST_LOST * elapsed
        return not lacks_only_time or elapsed >= MOST_BUDGETS * self._budget
