"""The rounds of a trial as they are taken, with the probe's readings around every slice."""

from __future__ import annotations

__all__ = ["Rounds"]

from collections.abc import Iterable

from amx_suite.core.case import Arm
from amx_suite.core.measurement import Round, Slice, quiet_only, readings_of
from amx_suite.core.noise import Reference, best_seen
from amx_suite.trial.pool import Prober, StartProber, WorkerPool


class Rounds:
    """What has been taken so far, and which of it counts.

    The prober is started with the first round. ``launch`` counts the times that workers were
    started anew.
    """

    def __init__(
        self, pool: WorkerPool, start_prober: StartProber, reference: Reference | None
    ) -> None:
        self._pool = pool
        self._start_prober = start_prober
        self._prober: Prober | None = None
        self._stored = reference
        self._reference = reference
        self._quiet: list[Round] = []
        self.taken: list[Round] = []
        self.launch = 0

    @property
    def quiet(self) -> tuple[Round, ...]:
        """The rounds with their quiet slices alone."""
        return tuple(self._quiet)

    def take(self, cases: Iterable[Arm]) -> None:
        """One slice of each case, in that order, a reading before the first and after each.

        A case whose worker is lost in a way that the others survive is given up.
        """
        prober = self._prober = self._prober or self._start_prober()
        pieces = []
        before = prober.probe()
        for case in cases:
            try:
                taken = self._pool.worker(case).take_slice(self._pool.facts[case.id].iterations)
            except self._pool.survivable as error:
                self._pool.give_up(case, error)
                continue
            after = prober.probe()
            pieces.append(Slice(case.id, taken.seconds, taken.iterations, before, after))
            before = after
        self._add(Round(len(self.taken), tuple(pieces), self.launch))

    def close(self) -> None:
        """End the prober."""
        if self._prober is not None:
            self._prober.close()
            self._prober = None

    def _add(self, round_: Round) -> None:
        self.taken.append(round_)
        if self._stored is None:
            best = best_seen(readings_of(self.taken))
            if best != self._reference:  # what seemed quiet may have been the lesser evil
                self._reference, self._quiet = best, []
        self._quiet += quiet_only(self.taken[len(self._quiet) :], self._reference)
