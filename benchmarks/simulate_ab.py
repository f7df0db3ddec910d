"""How often `amx-suite ab` errs: python benchmarks/simulate_ab.py [N].

Runs the real launches on the fake machines of tests/selftest/simulated.py, whose neighbour comes
and goes, and judges them, N times (default 200) for each row, from fixed seeds. A launch of each
arm is off by a factor of its own, as real launches are. Prints the table of docs/verdicts.md.
"""

from __future__ import annotations

import math
import statistics
import sys
from collections import Counter
from multiprocessing import Pool
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "selftest"))

from fake_trial import full_trial, make_session
from simulated import SharedMachine, SimulatedWorker

from amx_suite.ab.comparison import ArmName, pairs_of
from amx_suite.ab.judge import Pair, judge
from amx_suite.ab.measure import ROUNDS, Measurer
from amx_suite.core.isa import Isa
from amx_suite.core.precision import Precision
from amx_suite.core.trial import Trial
from amx_suite.history.change import Change
from amx_suite.trial.session import TrialSession
from amx_suite.worker.process import SliceTaken
from amx_suite.workloads.base import Inputs

HOSTS: dict[str, dict[str, Any]] = {
    "quiet": {"busy": 0.0, "quiet": math.inf},
    "3 s quiet, 3 s busy": {"quiet": 3.0, "busy": 3.0},
    "1 s quiet, 1 s busy": {"quiet": 1.0, "busy": 1.0},
    "10 s quiet, 10 s busy": {"quiet": 10.0, "busy": 10.0},
    "3 s quiet, 12 s busy": {"quiet": 3.0, "busy": 12.0},
    "always busy": {"quiet": 0.0, "busy": math.inf},
}
#: Standard deviation of the log of one launch of one arm: that of the ratio of two speedups, which
#: is made of four launches, is then 2 %, as ``history.change`` assumes.
LAUNCH_SPREAD = 0.01
_MARGIN = 0.05
_ARMS = {
    "1": ArmName(Precision.BF16, Isa.AMX),
    # Every arm of the trial.
    "5": None,
}


class Row(NamedTuple):
    """One row: a host, how many times as long new takes, and the comparisons of a run."""

    host: str
    slower: float
    comparisons: str


ROWS = [
    Row(host, slower, comparisons)
    for slower in (1.0, 1.1)
    for comparisons in _ARMS
    for host in HOSTS
]


class _Worker(SimulatedWorker):
    """Each launch is off by a factor of its own; a new side may be slower."""

    slower = 1.0

    def __init__(self, world: SharedMachine, case: Any) -> None:
        super().__init__(world, case)
        self.factor = math.exp(world.random.gauss(0.0, LAUNCH_SPREAD))
        if case.side == "new":
            self.factor *= self.slower

    def prepare(self, case: Any, inputs: Inputs) -> Any:
        """The neighbour comes and goes meanwhile, too."""
        began = self.world.now
        prepared = super().prepare(case, inputs)
        seconds, self.world.now = self.world.now - began, began
        self.world.work(seconds, 1.0)
        return prepared

    def take_slice(self, iterations: int) -> SliceTaken:
        """A slice that is longer by the launch's factor."""
        return SliceTaken(super().take_slice(iterations * self.factor).seconds, iterations)

    def outputs(self) -> Any:
        """The same on both sides."""
        import numpy as np

        return np.arange(1.0, 5.0).reshape(2, 2)


def compare(row: Row, seed: int) -> tuple[Pair, ...]:
    """One run of ``amx-suite ab`` on the row's host."""
    world = SharedMachine(seed, **HOSTS[row.host])
    worker = type("Worker", (_Worker,), {"slower": row.slower})

    def open_session(trial: Trial) -> TrialSession:
        session: TrialSession = make_session(
            world,
            trial=trial,
            seed=trial.seed + seed,
            worker=worker,
            reference=None,
            rounds=ROUNDS,
            budget_seconds=150.0,
        )
        return session

    measurer = Measurer(open_session, lambda case: None, Inputs(), same_build=True)
    trial = full_trial()
    for comparison in pairs_of(trial, trial, base_arm=_ARMS[row.comparisons]):
        measurer.measure(comparison)
    return judge(measurer.measured, _MARGIN).pairs


def _outcome(task: tuple[Row, int]) -> list[tuple[Change, float, float]]:
    found = compare(*task)
    assert all(pair.ratio and pair.low and pair.high for pair in found)
    return [(pair.change, pair.ratio or 0.0, pair.high / pair.low) for pair in found]


def main() -> None:
    """Print the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    changes = (Change.WORSE, Change.BETTER, Change.UNCHANGED, Change.INCONCLUSIVE)
    header = ("host", "new takes", "comparisons", *changes, "interval +/-", "mean ratio")
    print("| " + " | ".join(header) + " |")
    print("| " + " | ".join(["---"] * len(header)) + " |")
    with Pool() as pool:
        for row in ROWS:
            tasks = [(row, 1000 * seed + ROWS.index(row)) for seed in range(count)]
            found = [pair for pairs in pool.imap(_outcome, tasks) for pair in pairs]
            counts = Counter(change for change, *_ in found)
            width = statistics.median(math.sqrt(each) - 1 for *_, each in found)
            cells = (
                row.host,
                f"{row.slower:g} times",
                row.comparisons,
                *(f"{counts[change] / len(found):.1%}" for change in changes),
                f"{width:.1%}",
                f"{statistics.geometric_mean(ratio for _, ratio, _ in found):.3f}",
            )
            print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
