"""How often the method errs on simulated shared machines: python benchmarks/simulate_noise.py [N].

Runs the real TrialSession on the fake machines of tests/selftest/simulated.py, N trials (default
1000) of each kind from fixed seeds, and prints verdicts, time to verdict and interval coverage.
"""

from __future__ import annotations

import math
import statistics
import sys
import time
from collections import Counter
from multiprocessing import Pool
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "selftest"))

from simulated import AMX, FP32, TWIN, SharedMachine, gate, run_trial

from amx_suite.core.gate import Versus

MACHINES = {
    "quiet": {"busy": 0.0, "quiet": math.inf},
    "3 s busy, 3 s quiet": {"busy": 3.0, "quiet": 3.0},
    "always busy": {"busy": math.inf, "quiet": 0.0},
}
#: Between a twin and one that is 5 % slower.
HALFWAY = 1 / 1.025
#: kind: (gate's minimum over the truth, truth of the pair, versus, budget in seconds)
KINDS = {
    "twins, gate at 1": (1.0, 1.0, Versus.TWIN, 240.0),
    "twins, gate 0.5 % below": (1 / 1.005, 1.0, Versus.TWIN, 240.0),
    "twins, gate halfway": (HALFWAY, 1.0, Versus.TWIN, 240.0),
    "5 % slower, gate halfway": (HALFWAY, 1.05, Versus.TWIN, 240.0),
    "10 % slower, gate halfway": (HALFWAY, 1.10, Versus.TWIN, 240.0),
    "AMX over FP32, 5 % above its gate": (6.0 / 1.05, 1.0, Versus.FP32, 240.0),
    "AMX over FP32, 5 % below its gate": (6.0 * 1.05, 1.0, Versus.FP32, 240.0),
    "AMX over FP32, far above its gate": (3.0, 1.0, Versus.FP32, 240.0),
}


class Outcome(NamedTuple):
    """One simulated trial; ``covered`` and ``bias`` (relative) are None without an interval."""

    verdict: str
    seconds: float
    covered: bool | None
    bias: float | None


def one(task: tuple[str, str, int]) -> Outcome:
    """Run the trial of that kind on that machine with that seed."""
    kind, machine, seed = task
    minimum, slower, versus, budget = KINDS[kind]
    world = SharedMachine(f"{kind} {machine} {seed}", **MACHINES[machine])
    world.seconds[TWIN.arm] = world.seconds[AMX.arm] * slower
    truth = (
        1 / slower if versus is Versus.TWIN else world.seconds[FP32.arm] / world.seconds[AMX.arm]
    )
    arms = (AMX, TWIN) if versus is Versus.TWIN else (FP32, AMX)
    result = run_trial(world, [gate(minimum, versus)], arms=arms, budget_seconds=budget)
    (found,) = result.gates
    speedup = found.speedup
    covered = None
    if speedup is not None and speedup.low is not None:
        covered = speedup.low <= truth <= speedup.high
    bias = None if speedup is None else speedup.ratio / truth - 1
    return Outcome(str(found.verdict), world.now, covered, bias)


def main() -> None:
    """Run every kind on every machine, or those whose name holds the second argument."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    chosen = sys.argv[2] if len(sys.argv) > 2 else ""
    with Pool(2) as pool:
        for kind in KINDS:
            for machine in MACHINES:
                if chosen not in f"{kind} | {machine}":
                    continue
                began = time.monotonic()
                found = pool.map(one, [(kind, machine, seed) for seed in range(count)], chunksize=5)
                verdicts = Counter(outcome.verdict for outcome in found)
                covered = [outcome.covered for outcome in found if outcome.covered is not None]
                biases = [outcome.bias for outcome in found if outcome.bias is not None]
                seconds = statistics.median(outcome.seconds for outcome in found)
                print(
                    f"{kind} | {machine}: {dict(verdicts)}, "
                    f"median {seconds:.0f} s to verdict, "
                    f"interval covers {statistics.fmean(covered or [math.nan]):.1%} "
                    f"of {len(covered)}, bias {statistics.fmean(biases or [math.nan]):+.2%}, "
                    f"SD {statistics.pstdev(biases or [0.0]):.2%} "
                    f"({time.monotonic() - began:.0f} s)",
                    flush=True,
                )


if __name__ == "__main__":
    main()
