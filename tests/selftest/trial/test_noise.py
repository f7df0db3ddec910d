"""Verdicts on noisy machines: quiet pairs, twins, fresh launches, and figures that lie."""

import itertools

import msgspec
import pytest
from fake_trial import World

from amx_suite.core.case import Arm, Precision
from amx_suite.core.gate import Versus
from amx_suite.core.measurement import Slice, quiet_only
from amx_suite.core.noise import QUIET_WITHIN, Reading, Reference, Unit, best_seen
from amx_suite.core.verdict import Verdict
from amx_suite.trial.judge import judge
from amx_suite.trial.ruling import MIN_PAIRS, WANTED_PAIRS
from amx_suite.trial.sequential import DECISIVE, e_holm
from amx_suite.trial.soundness import is_alone, slow_share

pytestmark = pytest.mark.selftest

RATES = World().rates
QUIET = Reading(RATES)
REFERENCE = Reference(RATES)


def reading(**factors):
    return Reading({unit: rate * factors.get(unit, 1.0) for unit, rate in RATES.items()})


def only(result):
    (gate,) = result.gates
    return gate


class TestReadings:
    def test_every_unit_must_be_quiet(self):
        assert REFERENCE.is_quiet(QUIET)
        assert REFERENCE.is_quiet(reading(tile=1 / QUIET_WITHIN))
        for unit in (Unit.TILE, Unit.FMA, Unit.MEMORY):
            assert not REFERENCE.is_quiet(reading(**{unit: 0.79}))

    @pytest.mark.parametrize("bad", [Reading({}), reading(tile=0.0)])
    def test_a_unit_that_was_not_read_is_not_quiet(self, bad):
        assert not REFERENCE.is_quiet(bad)

    def test_the_busiest_unit_is_named_with_its_worst(self):
        found = REFERENCE.busiest([reading(tile=0.5), reading(tile=0.7, fma=0.7), QUIET])
        assert found == (Unit.TILE, pytest.approx(2.0))
        assert REFERENCE.busiest([QUIET]) is None

    def test_the_best_seen_is_weak_and_is_the_upper_mode(self):
        seen = [reading(tile=0.5), *[reading(tile=share) for share in (0.96, 0.98, 1.0)]]
        best = best_seen(seen)
        assert best.weak
        assert best.rates == {**RATES, Unit.TILE: pytest.approx(0.98 * RATES[Unit.TILE])}
        assert [best.is_quiet(one) for one in seen] == [False, True, True, True]

    def test_units_that_are_never_at_their_best_together_give_each_its_best(self):
        best = best_seen([reading(tile=0.5), reading(fma=0.5)])
        assert best == Reference(RATES, weak=True)
        assert best_seen([]) is None
        assert best_seen([Reading({})]) is None

    def test_a_few_odd_readings_do_not_make_all_others_busy(self):
        """Known-bad: one reading far above what the machine can do, held for the quiet state."""
        best = best_seen([*[QUIET] * 99, reading(tile=2.0)])
        assert best.is_quiet(QUIET)


def test_a_slice_counts_only_between_two_quiet_readings(make_session, vocabulary, world):
    measurement = make_session([vocabulary.gate(3.0)]).result().measurement
    busy = reading(tile=0.5)
    (first, second, *rest), *_ = [round_.slices for round_ in measurement.rounds]
    spoiled = [
        msgspec.structs.replace(measurement.rounds[0], slices=slices)
        for slices in (
            (msgspec.structs.replace(first, before=busy), second, *rest),
            (msgspec.structs.replace(first, after=busy), second, *rest),
        )
    ]
    for round_ in quiet_only(spoiled, REFERENCE):
        assert first.arm_id not in [piece.arm_id for piece in round_.slices]
        assert len(round_.slices) == len(rest) + 1


def test_what_is_stored_can_be_judged_again(make_session, vocabulary):
    session = make_session([vocabulary.gate(3.0)])
    result = session.result()
    stored = msgspec.json.decode(
        msgspec.json.encode(result.measurement), type=type(result.measurement)
    )
    assert judge(session.trial, [vocabulary.gate(3.0)], stored, {}) == result.gates
    assert stored.schema_version == 4


def test_a_reading_stands_before_and_after_every_slice(make_session, world):
    make_session().result()
    kinds = [what for _, what in world.log if what in ("probe", "slice")]
    (round_,) = {tuple(kinds[i : i + 11]) for i in range(0, len(kinds), 11)}
    assert round_ == ("probe", *("slice", "probe") * 5)


class Bistable:
    """Busy and quiet in turn, so many seconds each; arms and units lose what they are told to."""

    def __init__(self, world, dwell, lose_arms, lose_units):
        self.world, self.dwell = world, dwell
        quiet = dict(world.seconds)
        for arm, factor in lose_arms.items():
            world.seconds[arm] = lambda arm=arm, f=factor: quiet[arm] * (f if self.busy else 1)
        for unit, factor in lose_units.items():
            world.rates[unit] = lambda unit=unit, f=factor: RATES[unit] / (f if self.busy else 1)

    @property
    def busy(self):
        return int(self.world.now / self.dwell) % 2 == 0


class TestBusyMachines:
    LOSS = {"bf16@amx": 2.0, "int8@amx": 2.0, "fp32@avx512": 1.3}

    def test_the_speedup_is_that_of_the_quiet_state(self, make_session, vocabulary, world):
        Bistable(world, 20.0, self.LOSS, {Unit.TILE: 2.0})
        gate = only(make_session([vocabulary.gate(5.0)]).result())
        assert gate.verdict is Verdict.PASS
        assert gate.speedup.ratio == pytest.approx(6.0)

    def test_slices_that_were_all_contended_are_inconclusive(self, make_session, vocabulary, world):
        """Known-bad: an always-busy host, which its stored reference gives away."""
        Bistable(world, 1e9, self.LOSS, {Unit.TILE: 2.0})
        gate = only(make_session([vocabulary.gate(5.0)], budget_seconds=60).result())
        assert gate.verdict is Verdict.INCONCLUSIVE
        assert "0 of" in gate.reason
        assert "tile unit, down to 50% of its rate" in gate.reason

    def test_without_a_reference_the_best_state_serves_and_says_so(
        self, make_session, vocabulary, world
    ):
        Bistable(world, 20.0, self.LOSS, {Unit.TILE: 2.0})
        result = make_session([vocabulary.gate(5.0)], reference=None).result()
        assert only(result).verdict is Verdict.PASS
        assert only(result).speedup.ratio == pytest.approx(6.0)
        assert "best state seen" in only(result).reason
        assert "amx-suite calibrate" in result.measurement.notes[0]
        assert result.measurement.reference is None

    def test_a_probe_that_sees_nothing_makes_the_arm_a_finding(
        self, make_session, vocabulary, world
    ):
        """Known-bad: a probe that lies, and calls quiet what is not."""
        Bistable(world, 20.0, self.LOSS, {})
        gate = only(make_session([vocabulary.gate(4.0)], budget_seconds=300).result())
        assert gate.verdict is Verdict.INCONCLUSIVE
        assert "bf16@amx runs at two speeds" in gate.reason

    def test_a_probe_faster_than_its_reference_is_not_believed(
        self, make_session, vocabulary, world
    ):
        """Known-bad: a reference taken on a busy host, or a probe that reads too much."""
        world.rates[Unit.TILE] *= 2
        gate = only(make_session([vocabulary.gate(3.0)]).result())
        assert gate.verdict is Verdict.INCONCLUSIVE
        assert "the tile unit reads 2.00 times as fast" in gate.reason
        assert "calibrate" in gate.remedy

    def test_a_reference_without_one_of_the_units_is_not_believed(
        self, make_session, vocabulary, world
    ):
        """Known-bad: a reference taken where the kernel refused tiles."""
        without = {unit: rate for unit, rate in RATES.items() if unit is not Unit.TILE}
        Bistable(world, 20.0, self.LOSS, {Unit.TILE: 2.0})
        session = make_session([vocabulary.gate(5.0)], reference=Reference(without))
        gate = only(session.result())
        assert gate.verdict is Verdict.INCONCLUSIVE
        assert "does not know the tile unit" in gate.reason
        assert "calibrate" in gate.remedy

    def test_three_rounds_decide_nothing(self, make_session, vocabulary):
        gate = only(make_session([vocabulary.gate(3.0)], rounds=3).result())
        assert gate.verdict is Verdict.INCONCLUSIVE
        assert f"3 of 3 rounds were quiet, and {MIN_PAIRS} are needed" in gate.reason


class TestSteadiness:
    def test_drift_of_the_whole_machine_cancels(self, make_session, vocabulary, world):
        def drifting(seconds):
            return lambda: seconds * (1 + world.now / 500)

        for arm, seconds in dict(world.seconds).items():
            world.seconds[arm] = drifting(seconds)
        gate = only(make_session([vocabulary.gate(5.0)]).result())
        assert gate.verdict is Verdict.PASS
        assert gate.speedup.ratio == pytest.approx(6.0, rel=0.05)

    @pytest.mark.parametrize(
        "speed",
        [lambda n: 0.15 * (1 + n / 10), lambda n: 0.15 if n < 4 else 0.25, lambda n: 0.15 + n % 2],
        ids=["drift", "a step in the middle", "two speeds"],
    )
    def test_an_arm_that_is_unsteady_under_quiet_readings_is_a_finding(
        self, make_session, vocabulary, world, speed
    ):
        """Known-bad: each series would pass or fail by where it was cut off."""
        turns = itertools.count()
        world.seconds["bf16@amx"] = lambda: speed(next(turns))
        gates = [vocabulary.gate(5.0), vocabulary.gate(1.49, Versus.NO_AMX)]
        first, _ = make_session(gates, budget_seconds=100).result().gates
        assert first.verdict is Verdict.INCONCLUSIVE
        assert "bf16@amx runs at two speeds or drifts" in first.reason
        assert "finding about the arm" in first.remedy

    def test_who_is_unsteady(self):
        steady, unsteady, less = [1.0] * 20, [1.0] * 14 + [1.5] * 6, [1.0] * 17 + [1.5] * 3
        assert is_alone(unsteady, [steady])
        assert is_alone(unsteady, [steady, less])
        assert not is_alone(unsteady, [less])
        assert not is_alone(unsteady, [unsteady, unsteady])
        assert is_alone([1.0] * 4 + [1.5] * 4, [[1.0] * 8] * 4)
        assert is_alone(unsteady, [[]])

    def test_every_arm_at_two_speeds_is_a_finding_about_the_machine(
        self, make_session, vocabulary, world
    ):
        """Known-bad: a neighbour that comes and goes between two readings of the probe."""
        for number, (arm, seconds) in enumerate(dict(world.seconds).items()):
            turns = itertools.count(number)
            world.seconds[arm] = lambda seconds=seconds, turns=turns: (
                seconds * (1 + 0.6 * (next(turns) % 3 == 0))
            )
        gate = only(make_session([vocabulary.gate(5.0)], budget_seconds=100).result())
        assert gate.verdict is Verdict.INCONCLUSIVE
        assert gate.reason.endswith("and the other arms are no steadier")
        assert "finding about the machine" in gate.remedy

    def test_a_verdict_that_holds_at_either_speed_stands(self, make_session, vocabulary, world):
        turns = itertools.count()
        world.seconds["bf16@amx"] = lambda: 0.15 + 0.1 * (next(turns) % 2)
        assert only(make_session([vocabulary.gate(3.0)]).result()).verdict is Verdict.PASS

    def test_a_neighbour_that_came_and_went_unseen_is_no_finding(self):
        assert slow_share([1.0] * 19 + [2.0]) is None
        assert slow_share([1.0] * 10 + [2.0] * 10) == 0.5
        assert slow_share([]) is None


class TestTwin:
    def test_is_null_where_the_method_is_sound(self, make_session, vocabulary, world):
        session = make_session([vocabulary.gate(3.0)], twin=True)
        result = session.result()
        assert only(result).verdict is Verdict.PASS
        twin = session.trial.twin
        assert twin.arm == "bf16@amx#2"
        assert twin.id == f"{Arm.of(twin).id}#2"
        assert len(result.measurement.series(twin.id)) == WANTED_PAIRS
        assert twin not in session.arms
        assert world.ended["bf16@amx#2"] == "close"

    def test_that_is_not_null_makes_every_gate_inconclusive(self, make_session, vocabulary, world):
        world.seconds["bf16@amx#2"] = 0.17
        gate = only(make_session([vocabulary.gate(3.0)], twin=True).result())
        assert gate.verdict is Verdict.INCONCLUSIVE
        assert "the twin is not null: bf16@amx#2" in gate.reason
        assert "1.13 times" in gate.reason

    def test_may_differ_by_what_no_gate_asks(self, make_session, vocabulary, world):
        world.seconds["bf16@amx#2"] = 0.155
        assert only(make_session([vocabulary.gate(3)], twin=True).result()).verdict is Verdict.PASS

    def test_runs_beside_its_arm_where_memory_is_short(self, make_session, vocabulary, world):
        world.free = 3.5 * vocabulary.gib
        session = make_session([vocabulary.gate(3.0)], twin=True)
        measurement = session.result().measurement
        original = Arm.of(session.trial.twin)
        assert len(measurement.pairs(original.id, session.trial.twin.id)) >= MIN_PAIRS


class TestFreshLaunches:
    def test_a_fail_near_its_gate_recurs_before_it_is_one(self, make_session, vocabulary, world):
        result = make_session([vocabulary.gate(6.1)]).result()
        assert only(result).verdict is Verdict.FAIL
        assert {round_.launch for round_ in result.measurement.rounds} == {0, 1}
        started = [arm for arm, what in world.log if what == "prepare"]
        assert [arm for arm in started if started.count(arm) == 2].count("fp32@avx512") == 2
        assert started.count("int8@amx") == 1
        assert "recur in fresh processes" in result.measurement.notes[0]

    def test_one_far_from_it_need_not(self, make_session, vocabulary):
        result = make_session([vocabulary.gate(7.0)]).result()
        assert only(result).verdict is Verdict.FAIL
        assert {round_.launch for round_ in result.measurement.rounds} == {0}

    def test_one_that_does_not_recur_is_inconclusive(self, make_session, vocabulary, world):
        """Known-bad: an unlucky layout of memory at one launch."""
        world.seconds["bf16@amx"] = lambda: 0.15 if launches(world) < 2 else 0.14
        gate = only(make_session([vocabulary.gate(6.1)]).result())
        assert gate.verdict is Verdict.INCONCLUSIVE
        assert "above 6.1x in some processes and below it in others" in gate.reason

    def test_no_time_left_for_it_is_inconclusive(self, make_session, vocabulary):
        gate = only(make_session([vocabulary.gate(6.1)], budget_seconds=45).result())
        assert gate.verdict is Verdict.INCONCLUSIVE
        assert "recur" in gate.reason

    def test_an_open_gate_does_not_starve_it(self, make_session, vocabulary, world, alternating):
        world.seconds["int8@amx"] = alternating(0.149, 0.151)
        gates = [vocabulary.gate(6.1), vocabulary.gate(6.0, precision=Precision.INT8)]
        fail, undecided = make_session(gates, budget_seconds=200).result().gates
        assert (fail.verdict, undecided.verdict) == (Verdict.FAIL, Verdict.INCONCLUSIVE)


def launches(world):
    return [arm for arm, what in world.log if what == "prepare"].count("bf16@amx")


class TestManyGates:
    def test_one_gate_is_its_own_family(self):
        assert e_holm(50.0, []) == 50.0

    def test_gates_not_yet_measured_divide_the_evidence(self):
        assert e_holm(400.0, [0.0] * 9) == pytest.approx(40.0)

    def test_evidence_elsewhere_helps_and_never_lends(self):
        assert e_holm(400.0, [0.0] * 8 + [1e6]) > e_holm(400.0, [0.0] * 9)
        assert e_holm(50.0, [1e6]) == 50.0

    def test_closed_testing_by_its_definition(self):
        values = [3.0, 120.0, 0.5, 700.0]
        for k, e in enumerate(values):
            others = values[:k] + values[k + 1 :]
            subsets = itertools.chain.from_iterable(
                itertools.combinations(others, size) for size in range(4)
            )
            worst = min((e + sum(subset)) / (1 + len(subset)) for subset in subsets)
            assert e_holm(e, others) == pytest.approx(worst)

    def test_a_fail_among_many_gates_needs_more_rounds(self, make_session, vocabulary):
        short = {"budget_seconds": 150}
        alone = make_session([vocabulary.gate(7.0)], **short).result()
        among = make_session([vocabulary.gate(7.0)], **short, elsewhere=[0.0] * 15).result()
        assert only(alone).verdict is only(among).verdict is Verdict.FAIL
        assert len(among.measurement.rounds) > len(alone.measurement.rounds)
        assert only(among).e_fail_session >= DECISIVE

    def test_a_pass_does_not(self, make_session, vocabulary):
        result = make_session(
            [vocabulary.gate(3.0)], budget_seconds=150, elsewhere=[0.0] * 15
        ).result()
        assert only(result).verdict is Verdict.PASS
        assert len(result.measurement.rounds) == MIN_PAIRS


def test_a_slice_that_was_not_probed_counts():
    assert Slice("x", 1.0, 1).readings == ()
