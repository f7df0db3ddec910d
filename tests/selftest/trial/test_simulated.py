"""The method's error rates on simulated shared machines, from fixed seeds.

``benchmarks/simulate_noise.py`` runs a thousand trials of each kind; here there are fewer. Each
bound is such that a method that just keeps its promise fails with a chance of at most 1 in 1,000
(for other seeds: these are fixed), as its test says from the exact binomial distribution.
"""

import functools
import math

import numpy as np
import pytest
from simulated import AMX, FP32, TWIN, SharedMachine, gate, rule_on, run_trial

from amx_suite.core.gate import Versus
from amx_suite.core.verdict import Verdict
from amx_suite.trial.ruling import Standing
from amx_suite.trial.sequential import DECISIVE, e_value
from amx_suite.trial.speedup import paired_speedup

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


def passed(ratios, minimum=1.0):
    """The ruling on rounds with these speedups, and the interval that takes them as given."""
    ruling = rule_on(ratios, minimum)
    return ruling, paired_speedup(ruling.pairs)


def test_the_interval_of_a_pass_holds_a_truth_just_above_its_gate():
    """Known-bad: the interval that takes the number of rounds as given.

    The truth lies 0.3 standard deviations above the gate, and 60 rounds are the budget.
    """
    generator = np.random.default_rng(4)
    needed = [next((k for k in range(n + 1) if e_value(k, n) >= DECISIVE), 61) for n in range(61)]
    truth = math.exp(0.3 / 50)
    held = as_given = 0
    for logs in generator.normal(0.3, 1.0, (400, 60)) / 50:
        (ends,) = np.nonzero(np.cumsum(logs > 0) >= needed[1:])
        ruling, fixed = passed(np.exp(logs[: ends[0] + 1] if len(ends) else logs))
        held += ruling.speedup.low <= truth <= ruling.speedup.high
        as_given += fixed.low <= truth <= fixed.high
    assert 0.93 <= held / 400 <= 0.97
    assert as_given / 400 < 0.93


def test_only_a_pass_with_rounds_below_its_gate_and_more_than_wanted_has_the_wider_interval():
    above = [1.1 + n / 1000 for n in range(20)]
    ruling, fixed = passed(above)
    assert (ruling.standing, ruling.speedup) == (Standing.PASS, fixed)
    ruling, fixed = passed([*above, 0.9])
    assert ruling.standing is Standing.PASS
    assert ruling.gate.minimum <= ruling.speedup.low < fixed.low
    assert ruling.speedup.high == fixed.high
    ruling, fixed = passed([*above[1:], 0.9])
    assert (ruling.standing, ruling.speedup) == (Standing.PASS, fixed)
    ruling, fixed = passed(above, minimum=1.11)
    assert (ruling.standing, ruling.speedup) == (Standing.OPEN, fixed)


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
