"""The decision on speedups and on stored measurements."""

import msgspec
import pytest
from fake_trial import gate

from amx_suite.core.gate import Versus
from amx_suite.core.quiet import Reference
from amx_suite.core.units import Unit
from amx_suite.core.verdict import Lack, Speedup, Verdict
from amx_suite.trial.decide import LEAST_ROUNDS, decide, gates_of, judge, speaks_against

pytestmark = pytest.mark.selftest

SOUND = Reference({Unit.TILE: 1024.0, Unit.FMA: 64.0, Unit.MEMORY: 1e10})


def speedup(low, high, pairs=12):
    return Speedup((low + high) / 2, low, high, 0.99, pairs)


@pytest.mark.parametrize(
    ("first", "second", "verdict", "lack"),
    [
        (speedup(3.0, 3.2), None, Verdict.PASS, None),
        (speedup(2.99, 3.2), None, Verdict.INCONCLUSIVE, Lack.DISTANCE),
        (speedup(2.7, 3.0), None, Verdict.INCONCLUSIVE, Lack.DISTANCE),
        (speedup(2.7, 2.99), speedup(2.6, 2.98), Verdict.FAIL, None),
        (speedup(2.7, 2.99), speedup(2.6, 3.01), Verdict.INCONCLUSIVE, Lack.AGREEMENT),
        (speedup(2.7, 2.99), speedup(2.6, 2.9, pairs=9), Verdict.INCONCLUSIVE, Lack.AGREEMENT),
        (speedup(2.7, 2.99), None, Verdict.INCONCLUSIVE, Lack.AGREEMENT),
    ],
)
def test_sentence_four(first, second, verdict, lack):
    found = decide(first, second, 3.0, SOUND)
    assert (found.verdict, found.lack) == (verdict, lack)
    assert found.reason
    assert bool(found.remedy) is (verdict is not Verdict.PASS)


@pytest.mark.parametrize(
    "first", [None, speedup(9.0, 9.1, pairs=LEAST_ROUNDS - 1), Speedup(9.0, None, None, 0.99, 7)]
)
def test_too_few_rounds_decide_nothing(first):
    """Known-bad: however far the speedup is from the gate."""
    assert decide(first, None, 3.0, SOUND) is None
    assert not speaks_against(first, 30.0)


@pytest.mark.parametrize(
    ("unit", "passes", "fails"), [(Unit.TILE, True, False), (Unit.FMA, False, True)]
)
def test_no_verdict_rests_on_shared_units(unit, passes, fails):
    """Known-bad: with tiles always shared a good arm looks slow, with FMA a bad one fast."""
    below = Reference(SOUND.rates, {unit: 0.43})
    good = decide(speedup(3.1, 3.2), None, 3.0, below)
    bad = decide(speedup(2.1, 2.2), speedup(2.1, 2.2), 3.0, below)
    assert (good.verdict is Verdict.PASS) is passes
    assert (bad.verdict is Verdict.FAIL) is fails
    (open_one,) = [found for found in (good, bad) if found.lack]
    assert open_one.lack is Lack.REFERENCE
    assert f"the {unit} unit never gave more than 43% of its theory" in open_one.reason


def test_a_fail_recurs_in_fresh_processes(make_session, world):
    result = make_session([gate(7.0)]).result()
    (found,) = result.gates
    assert found.verdict is Verdict.FAIL
    assert found.reason.startswith("6.00x [6.00, 6.00] in 12 rounds, below the minimum of 7x")
    assert found.second.pairs == found.speedup.pairs
    prepared = [arm for arm, what in world.log if what == "prepare"]
    assert prepared.count("bf16@amx") == prepared.count("fp32@no_amx") == 2
    assert prepared.count("int8@amx") == 1
    launches = [round_.launch for round_ in result.measurement.rounds]
    assert launches == [0] * 12 + [1] * 12
    again = "measured again in fresh processes: fp32@no_amx, bf16@amx"
    assert again in "".join(result.measurement.notes)


def test_a_fail_that_vanishes_is_inconclusive(make_session, world):
    """Known-bad: a launch whose memory layout makes it slow."""
    speeds = iter([0.15 * 7 / 6] * 12)
    world.seconds["bf16@amx"] = lambda: next(speeds, 0.12)
    (found,) = make_session([gate(6.5)]).result().gates
    assert (found.verdict, found.lack) == (Verdict.INCONCLUSIVE, Lack.AGREEMENT)
    assert found.speedup.ratio < 6.5 < found.second.ratio


def test_stored_measurements_give_the_same_verdicts(make_session):
    gates = [gate(3.0), gate(9.0, Versus.NO_AMX)]
    session = make_session(gates)
    result = session.result()
    stored = msgspec.json.encode(result.measurement)
    again = msgspec.json.decode(stored, type=type(result.measurement))
    judged = gates_of(session.trial, gates)
    assert tuple(judge(each, again, {}) for each in judged) == result.gates


def test_last_gate_of_an_arm_counts(make_session):
    """So a narrow scope may stand behind a wide one, and a user's table behind the shipped one."""
    wide, narrow = gate(9.0), msgspec.structs.replace(gate(3.0), cores=(2, 2))
    elsewhere = msgspec.structs.replace(gate(1.0), cores=(3, 99))
    trial = make_session([]).trial
    assert [judged[0] for judged in gates_of(trial, [wide, narrow, elsewhere])] == [narrow]
    assert [judged[0] for judged in gates_of(trial, [wide, elsewhere])] == [wide]


def test_unequal_speculation_gives_no_verdict(make_session, world):
    """As before Linux 5.16, where a system-call filter slows a jailed process."""
    free, slowed = "thread vulnerable", "thread force mitigated"
    for arm in world.seconds:
        jailed = arm == "fp32@no_amx"
        world.evidence[arm] = {"speculation": {"Store_Bypass": slowed if jailed else free}}
    over_fp32, over_none = make_session([gate(1.0), gate(1.0, Versus.NO_AMX)]).result().gates
    assert (over_fp32.verdict, over_fp32.lack) == (Verdict.INCONCLUSIVE, Lack.EQUALITY)
    assert "Store_Bypass: 'thread vulnerable' and 'thread force mitigated'" in over_fp32.reason
    assert over_none.verdict is Verdict.PASS


def test_drift_of_the_whole_machine_cancels(make_session, world):
    def drifting(seconds):
        return lambda: seconds * (1 + world.now / 500)

    for arm, seconds in list(world.seconds.items()):
        world.seconds[arm] = drifting(seconds)
    (found,) = make_session([gate(5.5)]).result().gates
    assert found.verdict is Verdict.PASS
    assert found.speedup.ratio == pytest.approx(6.0, rel=0.01)
