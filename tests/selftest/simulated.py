"""Simulated shared machines under the real TrialSession.

A neighbour comes and goes, with exponential times. While he is there, each arm and each unit runs
slower by its own factor, also in the middle of a slice. Every slice and every reading has jitter.
All of it follows from the seed.
"""

import math
import random

import msgspec
from fake_trial import RESNET, SHAPE, FakeWorker, World, full_trial, gate, make_session

from amx_suite.core.case import Arm
from amx_suite.core.isa import Isa
from amx_suite.core.precision import Precision
from amx_suite.core.quiet import Reading, Reference
from amx_suite.core.units import PER_CYCLE, Unit
from amx_suite.worker.arm import SLICE_SECONDS
from amx_suite.worker.process import SliceTaken

__all__ = ["AMX", "COPY", "VECTOR_NEIGHBOUR", "SharedMachine", "gate", "reference_of", "run_trial"]

AMX = Arm(RESNET, "ipex", Precision.BF16, Isa.AMX, SHAPE, 2)
COPY = msgspec.structs.replace(AMX, copy=2)

#: What a neighbour on the same core does: tiles are halved, what uses the vector unit loses less.
NEIGHBOUR = {Unit.TILE: 2.0, Unit.FMA: 1.3, Unit.MEMORY: 1.05}
#: One who uses the vector unit and leaves the tiles alone.
VECTOR_NEIGHBOUR = {Unit.TILE: 1.0, Unit.FMA: 1.3, Unit.MEMORY: 1.05}
#: What a quiet core gives of its theory.
QUIET_SHARE = 0.97
PROBE_SECONDS = 0.02


class SharedMachine(World):
    """A machine whose neighbour stays ``busy`` and is away ``quiet`` seconds on average.

    ``loss`` is how much slower each unit is while the neighbour is there.
    """

    def __init__(self, seed, *, busy=3.0, quiet=3.0, jitter=0.014, loss=NEIGHBOUR):
        super().__init__()
        self.random = random.Random(seed)
        self.dwell = {True: busy, False: quiet}
        self.jitter = jitter
        self.loss = loss
        self.rates = {unit: QUIET_SHARE * PER_CYCLE.get(unit, 1e10) for unit in NEIGHBOUR}
        self.busy = quiet == 0 or (busy > 0 and self.random.random() < busy / (busy + quiet))
        self.flips_at = self._stay()

    def _stay(self):
        mean = self.dwell[self.busy]
        return self.now + (self.random.expovariate(1 / mean) if mean < math.inf else math.inf)

    def work(self, seconds, loss):
        """Advance the clock by the time that ``seconds`` of quiet work take, and return it."""
        began = self.now
        while True:
            slower = loss if self.busy else 1.0
            if self.now + seconds * slower <= self.flips_at:
                self.now += seconds * slower
                return self.now - began
            seconds -= (self.flips_at - self.now) / slower
            self.now = self.flips_at
            if self.dwell[not self.busy] > 0:
                self.busy = not self.busy
            self.flips_at = self._stay()

    def jittered(self, seconds):
        return seconds * math.exp(self.random.gauss(0.0, self.jitter))

    def reading(self):
        rates = {}
        for unit, rate in self.rates.items():
            took = self.work(self.jittered(PROBE_SECONDS), self.loss[unit])
            rates[unit] = rate * PROBE_SECONDS / took
        return Reading(rates)


class SimulatedWorker(FakeWorker):
    def prepare(self, case, inputs):
        prepared = super().prepare(case, inputs)
        iterations = max(1, math.ceil(SLICE_SECONDS / self.world.speed(case)))
        return msgspec.structs.replace(prepared, iterations=iterations)

    def take_slice(self, iterations):
        quiet = self.world.speed(self.case) * iterations
        loss = self.world.loss[Unit.TILE if self.case.isa.allows_amx else Unit.FMA]
        took = self.world.work(self.world.jittered(quiet), loss)
        return SliceTaken(took, iterations)


def reference_of(world):
    """The reference that a calibration finds here."""
    return Reference.of([world.reading() for _ in range(500)], PER_CYCLE)


def run_trial(world, gates, *, trial=None, arms=None, budget_seconds=150.0, reference=None):
    """The result of the real session on the simulated machine; ``arms`` replace the trial's."""
    trial = trial or full_trial()
    session = make_session(
        world,
        gates,
        trial=trial if arms is None else msgspec.structs.replace(trial, arms=arms),
        worker=SimulatedWorker,
        seed=world.random.randrange(2**31),
        budget_seconds=budget_seconds,
        reference=reference or reference_of(world),
    )
    result = session.result()
    session.close()
    return result
