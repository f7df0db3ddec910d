"""Rounds on a fake machine: waiting, repeating, and the end of a launch."""

import itertools

import msgspec
import pytest
from fake_trial import full_trial, gate

from amx_suite.core.measurement import lost_share
from amx_suite.core.units import Unit
from amx_suite.core.verdict import Lack, Verdict
from amx_suite.trial.decide import LEAST_ROUNDS, ROUNDS, SHOWN_ROUNDS

pytestmark = pytest.mark.selftest

QUIET, BUSY = 1000.0, 0.42 * 1024


@pytest.fixture
def measured(make_session):
    """The verdict on one gate, and the measurement."""

    def measure(**more):
        result = make_session([gate(3.0)], **more).result()
        (found,) = result.gates
        return found, result.measurement

    return measure


def seconds(measurement):
    return sum(round_.seconds for round_ in measurement.rounds)


def tiles(world, *spells, then=QUIET):
    """Let the tile unit give each rate for so many readings."""
    rates = itertools.chain(*(itertools.repeat(*spell) for spell in spells), itertools.repeat(then))
    world.rates[Unit.TILE] = lambda: next(rates)


def test_twelve_quiet_rounds_end_a_launch(measured):
    found, measurement = measured()
    assert (found.verdict, found.second) == (Verdict.PASS, None)
    assert found.speedup.ratio == pytest.approx(6.0)
    assert len(measurement.rounds) == ROUNDS
    assert lost_share(measurement.rounds) == 0.0


def test_readings_surround_every_slice(make_session, world):
    make_session().result()
    log = [what for _, what in world.log if what in ("probe", "slice")]
    assert "slice slice" not in " ".join(log)
    assert (log[0], log[-1]) == ("probe", "probe")
    assert log.count("probe") == log.count("slice") + 1


def test_busy_units_are_waited_for(measured, world):
    tiles(world, (QUIET, 8), (BUSY, 100))
    lines = []
    found, measurement = measured(show=lambda text, **marks: lines.append(text))
    assert found.verdict is Verdict.PASS
    assert len(measurement.rounds) == ROUNDS
    lost = sum(round_.lost_seconds for round_ in measurement.rounds)
    assert lost > 100 * world.probe_seconds * 0.9
    assert any("1 of 12 quiet rounds" in each and "tile unit at 42%" in each for each in lines)


def test_a_slice_that_the_quota_stopped_is_repeated(measured, world):
    """It would look like a slow arm, under units that read quiet."""
    stops = itertools.chain([0.0] * 21, itertools.repeat(0.1))
    world.throttled = lambda: next(stops)
    found, measurement = measured()
    assert found.verdict is Verdict.PASS
    assert sum(len(round_.disturbed) for round_ in measurement.rounds) == 1


def test_a_slice_that_ends_busy_is_repeated(measured, world):
    tiles(world, (QUIET, 20), *[(BUSY, 1), (QUIET, 1)] * 5)
    _, measurement = measured()
    disturbed = [piece for round_ in measurement.rounds for piece in round_.disturbed]
    assert disturbed
    assert all(piece.after.rates[Unit.TILE] == BUSY for piece in disturbed)
    kept = [piece for round_ in measurement.rounds for piece in round_.slices]
    assert all(reading.rates[Unit.TILE] == QUIET for p in kept for reading in p.readings)


def test_tiles_do_not_matter_without_amx(make_session, world):
    tiles(world, then=BUSY)
    full = full_trial()
    arms = tuple(case for case in full.arms if not case.isa.allows_amx)
    session = make_session(trial=msgspec.structs.replace(full, arms=arms))
    assert len(session.result().measurement.rounds) == ROUNDS


def test_without_reference_every_round_counts(measured, world):
    tiles(world, then=BUSY)
    found, measurement = measured(reference=None, rounds=SHOWN_ROUNDS)
    assert len(measurement.rounds) == SHOWN_ROUNDS
    assert not any(round_.disturbed for round_ in measurement.rounds)
    assert found.lack is Lack.REFERENCE
    assert "probe" not in [what for _, what in world.log]


def test_always_busy_times_every_arm_once(measured, world):
    tiles(world, then=BUSY)
    found, measurement = measured(budget_seconds=40)
    assert (found.verdict, found.lack) == (Verdict.INCONCLUSIVE, Lack.QUIET)
    assert "0 quiet rounds in" in found.reason
    assert "others used the tile unit and left down to 42% of it" in found.reason
    assert all(measurement.series(facts.case.id) for facts in measurement.arms)
    assert not any(round_.slices for round_ in measurement.rounds)
    assert 40 <= seconds(measurement) < 42


def test_slow_arms_have_three_budgets(measured, world):
    """Known-bad: a training arm four times too slow once could not fail within its budget."""
    world.seconds["bf16@amx"] = 2.4
    round_seconds = 2 * sum(world.seconds.values())
    found, _ = measured(budget_seconds=round_seconds * LEAST_ROUNDS / 2.5)
    assert found.verdict is Verdict.FAIL
    assert found.speedup.pairs == LEAST_ROUNDS


def test_after_three_budgets_a_launch_ends(measured, world):
    found, measurement = measured(budget_seconds=2 * sum(world.seconds.values()) * 2)
    assert (found.verdict, found.lack) == (Verdict.INCONCLUSIVE, Lack.TIME)
    assert "--amx-budget" in found.remedy
    assert 6 <= len(measurement.rounds) < LEAST_ROUNDS


def test_waiting_gets_no_more_time(measured, world):
    tiles(world, *[(QUIET, 12), (BUSY, 400)] * 10)
    found, measurement = measured(budget_seconds=60)
    assert found.lack is Lack.QUIET
    assert seconds(measurement) < 70
