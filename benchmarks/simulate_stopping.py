"""How often the interval holds the truth: python benchmarks/simulate_stopping.py [N].

The stopping rule alone, on normal log ratios of quiet rounds: N trials (default 10,000) of each
distance between truth and gate, from fixed seeds, with at most 300 rounds, which is what a budget
of 240 s holds at 0.8 s a round. Every trial ends where a session would end it; standing and
interval are the suite's own.
"""

from __future__ import annotations

import math
import sys
from collections import Counter
from multiprocessing import Pool
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "selftest"))

from simulated import rule_on

from amx_suite.trial.ruling import MIN_PAIRS, WANTED_PAIRS, Ruling, Standing
from amx_suite.trial.sequential import DECISIVE, e_value
from amx_suite.trial.speedup import paired_speedup

_ROUNDS = 300
_NOISE = 0.02
#: Truth less gate, in standard deviations of one round's log ratio.
_DISTANCES = (-2.0, -1.0, -0.5, -0.3, -0.2, -0.1, 0.0, 0.1, 0.2, 0.3, 0.5, 1.0, 2.0)

#: The fewest rounds on one side of the gate that decide it, by the number of rounds.
_NEEDED = np.array(
    [
        next((k for k in range(n + 1) if e_value(k, n) >= DECISIVE), n + 1)
        for n in range(_ROUNDS + 1)
    ]
)


def main() -> None:
    """Print verdicts and coverage of every distance, and of intervals that ignore the stopping."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    print("truth less gate, in SD of a round | interval holds the truth | as given | verdicts")
    with Pool() as pool:
        tasks = [(distance, seed, count // 20) for distance in _DISTANCES for seed in range(20)]
        found = pool.map(_trials, tasks, chunksize=1)
    for distance in _DISTANCES:
        parts = [part for task, part in zip(tasks, found, strict=True) if task[0] == distance]
        trials = [trial for part in parts for trial in part]
        standings = Counter(str(standing.name) for standing, _, _ in trials)
        held, as_given = (sum(trial[index] for trial in trials) / len(trials) for index in (1, 2))
        print(f"{distance:+.1f} | {held:.1%} | {as_given:.1%} | {dict(standings)}", flush=True)


def _trials(task: tuple[float, int, int]) -> list[tuple[Standing, bool, bool]]:
    """Standing, whether the suite's interval holds the truth, and whether the one as given does."""
    distance, seed, count = task
    generator = np.random.default_rng([seed, round(1000 * (distance + 10))])
    truth = math.exp(distance * _NOISE)
    found = []
    for _ in range(count):
        logs = generator.normal(distance, 1.0, _ROUNDS) * _NOISE
        ruling = _ended(logs)
        speedup = ruling.speedup
        plain = paired_speedup(ruling.pairs)
        assert plain is not None
        assert speedup is not None
        assert speedup.low is not None
        assert plain.low is not None
        held = speedup.low <= truth <= speedup.high
        found.append((ruling.standing, held, plain.low <= truth <= plain.high))
    return found


def _ended(logs: np.ndarray) -> Ruling:
    """The ruling with which the trial ends that meets these log ratios, one a round."""
    above, below = np.cumsum(logs > 0), np.cumsum(logs < 0)
    numbers = np.arange(1, _ROUNDS + 1)
    one_side = np.maximum(above, below) >= _NEEDED[1:]
    # Only where one side is decided can anything be settled, so only there the suite is asked.
    first_launch = None
    for number in numbers[one_side]:
        if number < MIN_PAIRS:
            continue
        ruling = rule_on(np.exp(logs[:number]), first_launch=first_launch)
        if ruling.standing is Standing.TO_RECUR and first_launch is None:
            first_launch = int(number)  # the next round is of fresh processes
        elif ruling.standing.settled and number >= WANTED_PAIRS:
            return ruling
    return rule_on(np.exp(logs), first_launch=first_launch)


if __name__ == "__main__":
    main()
