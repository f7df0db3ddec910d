"""The method's error rates on simulated shared machines, from fixed seeds.

``benchmarks/simulate_noise.py`` runs a thousand trials of each kind; here there are fewer. Each
bound is such that a method that just keeps its promise fails with a chance of at most 1 in 1,000
(for other seeds: these are fixed), as its test says from the exact binomial distribution.
"""

import functools
import math

import pytest
from simulated import AMX, FP32, TWIN, SharedMachine, gate, run_trial

from amx_suite.core.gate import Versus
from amx_suite.core.verdict import Verdict

pytestmark = pytest.mark.selftest

QUIET = {"busy": 0.0, "quiet": math.inf}
NOISY = {"busy": 3.0, "quiet": 3.0}
BUSY = {"busy": math.inf, "quiet": 0.0}
HALFWAY = 1 / 1.025


@functools.cache
def twins(machine, slower, count):
    """Results of trials of an arm against itself, the second slower by that factor."""
    found = []
    for seed in range(count):
        world = SharedMachine(f"{seed}", **dict(machine))
        world.seconds[TWIN.arm] = world.seconds[AMX.arm] * slower
        result = run_trial(world, [gate(HALFWAY, Versus.TWIN)], arms=(AMX, TWIN))
        found.append(result.gates[0])
    return tuple(found)


def verdicts(found, verdict):
    return sum(result.verdict is verdict for result in found)


def at_most(rate, count):
    """The most events that a true rate of so much leaves likely: exceeded once in 1,000."""
    from scipy import stats

    return int(stats.binom.ppf(0.999, count, rate))


TRIALS = 40


@pytest.mark.parametrize("machine", [QUIET, NOISY], ids=["quiet", "noisy"])
def test_twins_do_not_fail(machine):
    found = twins(tuple(machine.items()), 1.0, TRIALS)
    assert verdicts(found, Verdict.FAIL) <= at_most(0.005, TRIALS)
    assert verdicts(found, Verdict.PASS) >= TRIALS - at_most(0.05, TRIALS)


@pytest.mark.parametrize(("machine", "found_rate"), [(QUIET, 0.99), (NOISY, 0.95)])
def test_5_percent_is_found_and_never_called_unchanged(machine, found_rate):
    found = twins(tuple(machine.items()), 1.05, TRIALS)
    assert TRIALS - verdicts(found, Verdict.FAIL) <= at_most(1 - found_rate, TRIALS)
    assert verdicts(found, Verdict.PASS) <= at_most(0.005, TRIALS)


@pytest.mark.parametrize("slower", [1.0, 1.05])
def test_an_always_busy_host_is_inconclusive(slower):
    found = twins(tuple(BUSY.items()), slower, 5)
    assert verdicts(found, Verdict.INCONCLUSIVE) == 5
    assert all("0 of" in result.reason for result in found)


def test_the_interval_covers_the_truth():
    """Between 93 and 97 %, give or take what so few trials leave to chance."""
    from scipy import stats

    found = [
        (result.speedup, 1 / slower)
        for machine in (QUIET, NOISY)
        for slower in (1.0, 1.05)
        for result in twins(tuple(machine.items()), slower, TRIALS)
    ]
    covered = sum(speedup.low <= truth <= speedup.high for speedup, truth in found)
    assert stats.binom.ppf(0.001, len(found), 0.93) <= covered


@pytest.mark.parametrize(("minimum", "verdict"), [(6 / 1.05, Verdict.PASS), (6.3, Verdict.FAIL)])
def test_amx_5_percent_off_its_gate_is_judged_right_on_a_noisy_machine(minimum, verdict):
    """AMX is halved and FP32 loses less while contended: raw ratios are 10 % and more too low."""
    found = [
        run_trial(SharedMachine(f"{seed}", **NOISY), [gate(minimum)], arms=(FP32, AMX)).gates[0]
        for seed in range(20)
    ]
    assert verdicts(found, verdict) >= 20 - at_most(0.05, 20)
    wrong = Verdict.FAIL if verdict is Verdict.PASS else Verdict.PASS
    assert verdicts(found, wrong) <= at_most(0.005, 20)
