"""A base and a new side on the fake machine, whose numbers may differ."""

import msgspec
import numpy as np
from fake_trial import FakeWorker, World, full_trial, make_session

from amx_suite.ab.comparison import ArmName, Side, pairs_of
from amx_suite.ab.judge import Report, judge
from amx_suite.ab.measure import ROUNDS, Measurer
from amx_suite.core.isa import Isa
from amx_suite.core.precision import Precision
from amx_suite.workloads.base import Inputs

SIDE = Side("/usr/bin/python3", "3.12.4", {"torch": "2.8.0"}, "ipex")
AMX = ArmName(Precision.BF16, Isa.AMX)
MARGIN = 0.05


class SideWorker(FakeWorker):
    """Computes what the world's ``numbers`` say of its arm, else the same on every side."""

    def outputs(self):
        super().outputs()
        return self._numbers((2, 100))

    def losses(self, *, steps, batch):
        self._do("losses")
        return self._numbers(steps)

    def _numbers(self, size):
        right = np.random.default_rng(0).normal(3, 1, size)
        return right * self.world.own(self.world.numbers, self.case, 1.0)

    def __enter__(self):
        return self

    def __exit__(self, *reasons):
        self.close()


class Bench:
    """A fake machine on which arms are compared; ``run`` gives the report."""

    worker = SideWorker
    budget_seconds = 600.0

    def __init__(self, world=None):
        self.world = world or World()
        self.world.numbers = {}
        self.measurer = Measurer(self.open, self.start, Inputs(), same_build=False)

    def open(self, trial):
        return make_session(
            self.world,
            trial=trial,
            seed=trial.seed,
            worker=self.worker,
            reference=None,
            budget_seconds=self.budget_seconds,
            rounds=ROUNDS,
        )

    def start(self, case):
        return self.worker(self.world, case)

    def measure(self, arm=AMX, *, new_arm=None, workload=None, control=False):
        trial = full_trial(workload) if workload else full_trial()
        for comparison in pairs_of(trial, trial, base_arm=arm, new_arm=new_arm, control=control):
            self.measurer.measure(comparison)

    def report(self, **changes):
        judged = judge(self.measurer.measured, MARGIN)
        report = Report(SIDE, SIDE, "2026-11-28", {}, MARGIN, 0.99, *judged)
        return msgspec.structs.replace(report, **changes)

    def run(self, *arguments, **keywords):
        self.measure(*arguments, **keywords)
        return self.report()

    def pair(self, *arguments, **keywords):
        (pair,) = self.run(*arguments, **keywords).pairs
        return pair
