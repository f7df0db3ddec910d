"""Rounds on a fake machine: waiting, repeating, and the end of a launch."""

import itertools

import pytest

from amx_suite.core.measurement import lost_share
from amx_suite.core.trial import Trial
from amx_suite.core.units import Unit
from amx_suite.core.verdict import Lack, Verdict
from amx_suite.trial.decide import LEAST_ROUNDS, ROUNDS

pytestmark = pytest.mark.selftest

QUIET, BUSY = 1000.0, 0.42 * 1024


def only(result):
    (gate,) = result.gates
    return gate


def test_twelve_quiet_rounds_end_a_launch(make_session, vocabulary):
    result = make_session([vocabulary.gate(3.0)]).result()
    gate = only(result)
    assert (gate.verdict, gate.second) == (Verdict.PASS, None)
    assert gate.speedup.ratio == pytest.approx(6.0)
    assert len(result.measurement.rounds) == ROUNDS
    assert lost_share(result.measurement.rounds) == 0.0


def test_readings_surround_every_slice(make_session, world):
    make_session().result()
    log = [what for _, what in world.log if what in ("probe", "slice")]
    assert "slice slice" not in " ".join(log)
    assert (log[0], log[-1]) == ("probe", "probe")
    assert log.count("probe") == log.count("slice") + 1


def test_busy_units_are_waited_for(make_session, vocabulary, world):
    spell = itertools.chain([QUIET] * 8, [BUSY] * 100, itertools.repeat(QUIET))
    world.rates[Unit.TILE] = lambda: next(spell)
    lines = []
    session = make_session([vocabulary.gate(3.0)], show=lambda text, **marks: lines.append(text))
    result = session.result()
    assert only(result).verdict is Verdict.PASS
    rounds = result.measurement.rounds
    assert len(rounds) == ROUNDS
    assert sum(round_.lost_seconds for round_ in rounds) > 100 * world.probe_seconds * 0.9
    assert any("1 of 12 quiet rounds" in each and "tile unit at 42%" in each for each in lines)


def test_a_slice_that_ends_busy_is_repeated(make_session, vocabulary, world):
    spell = itertools.chain([QUIET] * 20, [BUSY, QUIET] * 5, itertools.repeat(QUIET))
    world.rates[Unit.TILE] = lambda: next(spell)
    measurement = make_session([vocabulary.gate(3.0)]).result().measurement
    disturbed = [piece for round_ in measurement.rounds for piece in round_.disturbed]
    assert disturbed
    assert all(piece.after.rates[Unit.TILE] == BUSY for piece in disturbed)
    kept = [piece for round_ in measurement.rounds for piece in round_.slices]
    assert all(reading.rates[Unit.TILE] == QUIET for p in kept for reading in p.readings)


def test_tiles_do_not_matter_without_amx(make_session, vocabulary, world):
    full = Trial.of(vocabulary.resnet, "ipex", vocabulary.shape, threads=2)
    arms = tuple(case for case in full.arms if not case.isa.allows_amx)
    world.rates[Unit.TILE] = BUSY
    trial = Trial("no-amx", full.workload, full.shape, arms)
    assert len(make_session(trial=trial).result().measurement.rounds) == ROUNDS


def test_without_reference_one_round_is_taken(make_session, vocabulary, world):
    result = make_session([vocabulary.gate(3.0)], reference=None).result()
    assert len(result.measurement.rounds) == 1
    assert only(result).lack is Lack.REFERENCE
    assert "probe" not in [what for _, what in world.log]


def test_always_busy_times_every_arm_once(make_session, vocabulary, world):
    world.rates[Unit.TILE] = BUSY
    result = make_session([vocabulary.gate(3.0)], budget_seconds=40).result()
    gate, measurement = only(result), result.measurement
    assert (gate.verdict, gate.lack) == (Verdict.INCONCLUSIVE, Lack.QUIET)
    assert "0 quiet rounds in" in gate.reason
    assert "others used the tile unit and left down to 42% of it" in gate.reason
    assert all(measurement.series(facts.case.id) for facts in measurement.arms)
    assert not any(round_.slices for round_ in measurement.rounds)
    assert 40 <= sum(round_.seconds for round_ in measurement.rounds) < 42


def test_slow_arms_have_three_budgets(make_session, vocabulary, world):
    """Known-bad: a training arm four times too slow once could not fail within its budget."""
    world.seconds["bf16@amx"] = 2.4
    round_seconds = 2 * sum(world.seconds.values())
    budget = round_seconds * LEAST_ROUNDS / 2.5
    gate = only(make_session([vocabulary.gate(3.0)], budget_seconds=budget).result())
    assert gate.verdict is Verdict.FAIL
    assert gate.speedup.pairs == LEAST_ROUNDS


def test_after_three_budgets_a_launch_ends(make_session, vocabulary, world):
    budget = 2 * sum(world.seconds.values()) * 2
    result = make_session([vocabulary.gate(3.0)], budget_seconds=budget).result()
    gate = only(result)
    assert (gate.verdict, gate.lack) == (Verdict.INCONCLUSIVE, Lack.TIME)
    assert "--amx-budget" in gate.remedy
    assert 6 <= len(result.measurement.rounds) < LEAST_ROUNDS


def test_waiting_gets_no_more_time(make_session, vocabulary, world):
    spell = itertools.cycle([QUIET] * 12 + [BUSY] * 400)
    world.rates[Unit.TILE] = lambda: next(spell)
    result = make_session([vocabulary.gate(3.0)], budget_seconds=60).result()
    assert only(result).lack is Lack.QUIET
    assert sum(round_.seconds for round_ in result.measurement.rounds) < 70
