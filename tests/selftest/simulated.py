"""Simulated shared machines under the real TrialSession: what is quiet flips while arms run.

A neighbour comes and goes; how long it stays or is away is exponential. While it is there, each arm
and each unit of the probe runs slower by its own factor, also in the middle of a slice. Every slice
and every reading jitters besides. All of it follows from the seed.
"""

import math
import random

import msgspec
from fake_trial import FakeProber, FakeWorker, World

from amx_suite.core.case import Arm, Mode, Precision, Shape, Workload
from amx_suite.core.gate import Gate, Versus
from amx_suite.core.isa import Isa
from amx_suite.core.measurement import Round, Slice
from amx_suite.core.noise import Reading, Reference, Unit
from amx_suite.core.trial import Trial
from amx_suite.trial.ruling import rule
from amx_suite.trial.session import TrialSession
from amx_suite.worker.messages import SliceTaken
from amx_suite.workloads.base import Inputs

SHAPE = Shape(16, 224)
RESNET = Workload("resnet50", Mode.INFERENCE)
FP32 = Arm(RESNET, "ipex", Precision.FP32, Isa.AVX512, SHAPE, 2)
AMX = Arm(RESNET, "ipex", Precision.BF16, Isa.AMX, SHAPE, 2)
TWIN = Arm.of(AMX, copy=2)

#: Seconds that a slice is meant to take, and how a neighbour slows things down: tiles are halved,
#: what uses the vector unit loses less.
SLICE_SECONDS = 0.3
LOSS = {FP32.arm: 1.3, AMX.arm: 2.0, TWIN.arm: 2.0}
UNIT_LOSS = {Unit.TILE: 2.0, Unit.FMA: 1.3, Unit.MEMORY: 1.1}
PROBE_SECONDS = 0.02
ALWAYS = math.inf


class SharedMachine(World):
    """A machine whose neighbour stays ``busy`` and is away ``quiet`` seconds on average."""

    def __init__(self, seed, *, busy=3.0, quiet=3.0, jitter=0.02, launch_jitter=0.0):
        super().__init__()
        self.random = random.Random(seed)
        self.dwell = {True: busy, False: quiet}
        self.jitter = jitter
        self.launch_jitter = launch_jitter
        self.busy = quiet == 0 or (busy > 0 and self.random.random() < busy / (busy + quiet))
        self.flips_at = self._stay()

    def _stay(self):
        mean = self.dwell[self.busy]
        return self.now + (self.random.expovariate(1 / mean) if mean < ALWAYS else ALWAYS)

    def work(self, seconds, loss):
        """Let the time pass that so many quiet seconds of work take, and return it."""
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

    def jittered(self, sd):
        return math.exp(self.random.gauss(0.0, sd)) if sd else 1.0

    def reading(self):
        rates = {}
        for unit, rate in self.rates.items():
            took = self.work(PROBE_SECONDS * self.jittered(self.jitter), UNIT_LOSS[unit])
            rates[unit] = rate * PROBE_SECONDS / took
        return Reading(rates)


class SimulatedWorker(FakeWorker):
    """Runs on a SharedMachine; each launch has a speed of its own where the machine says so."""

    def prepare(self, case, inputs):
        prepared = super().prepare(case, inputs)
        self.own = self.world.jittered(self.world.launch_jitter)
        seconds = self.world.speed(case)
        iterations = max(1, math.ceil(SLICE_SECONDS / seconds))
        return msgspec.structs.replace(prepared, iterations=iterations)

    def take_slice(self, iterations):
        self._do("slice")
        quiet = self.world.speed(self.case) * iterations * self.own
        took = self.world.work(quiet * self.world.jittered(self.world.jitter), LOSS[self.case.arm])
        return SliceTaken(took, iterations)


def gate(minimum, versus=Versus.FP32):
    return Gate(RESNET, Precision.BF16, versus, SHAPE, minimum, "made up")


def rule_on(ratios, minimum=1.0, first_launch=None):
    """The ruling on quiet rounds with these speedups, fresh processes from ``first_launch`` on."""
    rounds = [
        Round(
            number,
            (Slice(FP32.id, float(ratio), 1), Slice(AMX.id, 1.0, 1)),
            launch=int(first_launch is not None and number >= first_launch),
        )
        for number, ratio in enumerate(ratios)
    ]
    (ruling,) = rule(Trial("simulated", RESNET, SHAPE, (FP32, AMX)), [gate(minimum)], rounds)
    return ruling


def run_trial(world, gates, *, arms=(FP32, AMX), twin=None, budget_seconds=240.0, stored=True):
    """The result of the real session on the simulated machine."""
    trial = Trial("simulated", RESNET, SHAPE, arms, seed=world.random.randrange(2**31), twin=twin)
    session = TrialSession(
        trial,
        gates,
        start=lambda case: SimulatedWorker(world, case),
        start_prober=lambda: FakeProber(world),
        host={},
        cpus=(0, 1),
        budget_seconds=budget_seconds,
        inputs=Inputs(),
        reference=Reference(dict(world.rates)) if stored else None,
        clock=lambda: world.now,
        memory=lambda: world.free,
    )
    result = session.result()
    session.close()
    return result
