"""The decision on simulated shared machines, from fixed seeds.

``benchmarks/simulate_noise.py`` runs thousands of trials of each kind (docs/verdicts.md). These few
show that the rule works, and that it fails on known-bad input.
"""

import math
from collections import Counter

import pytest
from simulated import (
    AMX,
    COPY,
    VECTOR_NEIGHBOUR,
    SharedMachine,
    gate,
    reference_of,
    run_trial,
)

from amx_suite.core.gate import Versus
from amx_suite.core.quiet import Reference
from amx_suite.core.verdict import Lack, Verdict

pytestmark = pytest.mark.selftest

QUIET = {"busy": 0.0, "quiet": math.inf}
NOISY = {"busy": 3.0, "quiet": 3.0}
BUSY = {"busy": math.inf, "quiet": 0.0}
TRIALS = 12


def verdicts(machine, relative, trials=TRIALS):
    """How often each verdict comes out if the true speedup is ``relative`` times the gate."""
    return Counter(
        str(run_trial(SharedMachine(f"{seed}", **machine), [gate(6.0 / relative)]).gates[0].verdict)
        for seed in range(trials)
    )


@pytest.mark.parametrize(("relative", "verdict"), [(0.95, "FAIL"), (1.05, "PASS")])
def test_a_quiet_machine_tells_five_percent(relative, verdict):
    assert verdicts(QUIET, relative)[verdict] >= TRIALS - 1


@pytest.mark.parametrize(("relative", "verdict"), [(0.8, "FAIL"), (1.33, "PASS")])
def test_a_noisy_machine_is_waited_for(relative, verdict):
    found = verdicts(NOISY, relative)
    assert found[verdict] >= TRIALS - 2
    assert set(found) <= {verdict, "INCONCLUSIVE"}


@pytest.mark.parametrize("relative", [0.8, 1.33])
def test_an_always_busy_machine_gets_no_verdict(relative):
    """Its tile unit never reaches theory, so no FAIL rests on a calibration there."""
    world = SharedMachine("1", **BUSY)
    (result,) = run_trial(world, [gate(6.0 / relative)]).gates
    assert (result.verdict, result.lack) == (Verdict.INCONCLUSIVE, Lack.REFERENCE)


def test_with_a_stored_reference_it_lacks_quiet():
    quiet = reference_of(SharedMachine("quiet", **QUIET))
    world = SharedMachine("busy", **BUSY)
    (result,) = run_trial(world, [gate(4.5)], reference=quiet).gates
    assert (result.verdict, result.lack) == (Verdict.INCONCLUSIVE, Lack.QUIET)
    assert "the tile unit" in result.reason


def test_a_vector_neighbour_makes_no_pass():
    assert "PASS" not in verdicts({**NOISY, "loss": VECTOR_NEIGHBOUR}, 0.9)


def test_without_readings_a_slow_arm_passes():
    """Known-bad: the same neighbour beside a probe that always reads quiet."""
    world = SharedMachine("1", busy=math.inf, quiet=0.0, loss=VECTOR_NEIGHBOUR)
    blind = Reference({unit: rate / 2 for unit, rate in world.rates.items()})
    (result,) = run_trial(world, [gate(6.0 / 0.9)], reference=blind).gates
    assert result.verdict is Verdict.PASS


def test_an_arm_is_as_fast_as_its_copy():
    for seed in range(TRIALS):
        world = SharedMachine(f"{seed}", **NOISY)
        (result,) = run_trial(world, [gate(0.95, Versus.CONTROL)], arms=(AMX, COPY)).gates
        assert result.verdict is not Verdict.FAIL
        assert result.speedup.ratio == pytest.approx(1.0, abs=0.03)


def test_a_slowed_copy_fails():
    """Known-bad: the A/A control must be able to fail."""
    world = SharedMachine("1", **NOISY)
    world.seconds[COPY.arm] = world.seconds[AMX.arm] * 1.2
    (result,) = run_trial(world, [gate(0.95, Versus.CONTROL)], arms=(AMX, COPY)).gates
    assert result.verdict is Verdict.FAIL
    assert result.second is not None
