"""Trials on a fake machine: order, verdicts, evidence, memory, faults, interruption."""

import itertools

import msgspec
import pytest
from fake_trial import GIB, full_trial, gate

from amx_suite.core.case import Mode, Shape, Workload
from amx_suite.core.gate import Versus
from amx_suite.core.precision import Precision
from amx_suite.core.verdict import Lack, Verdict
from amx_suite.errors import (
    CeilingIgnoredError,
    LostChildError,
    MachineChangedError,
    OutOfMemoryError,
    OutputError,
)
from amx_suite.trial.decide import ROUNDS
from amx_suite.trial.pool import place

pytestmark = pytest.mark.selftest


ARMS = {case.arm for case in full_trial().arms}


def only(result):
    (found,) = result.gates
    return found


def prepared(world):
    return [arm for arm, what in world.log if what == "prepare"]


def test_an_arm_near_its_gate_is_inconclusive(make_session, world):
    world.seconds["bf16@amx"] = itertools.cycle((0.295, 0.305)).__next__
    result = make_session([gate(3.0)]).result()
    assert (only(result).verdict, only(result).lack) == (Verdict.INCONCLUSIVE, Lack.DISTANCE)
    assert "too near the minimum of 3x to tell" in only(result).reason
    assert len(result.measurement.rounds) == ROUNDS, "it must not ask for more rounds"


def test_no_amx_baseline_has_the_same_precision(make_session):
    gates = [gate(7.5, Versus.NO_AMX), gate(1.4, Versus.NO_AMX, Precision.INT8)]
    bf16, int8 = make_session(gates).result().gates
    assert bf16.speedup.ratio == pytest.approx(8.4)
    assert int8.speedup.ratio == pytest.approx(0.48 / 0.09)
    assert (bf16.verdict, int8.verdict) == (Verdict.PASS, Verdict.PASS)


def test_gates_of_other_shapes_do_not_apply(make_session):
    other = msgspec.structs.replace(gate(3.0), shape=Shape(1, 224))
    assert make_session([other]).result().gates == ()


@pytest.mark.parametrize(
    ("table", "arm", "value"),
    [("amx_share", "bf16@amx", 0.2), ("permission", "fp32@no_amx", True)],
    ids=["candidate", "baseline"],
)
def test_both_arms_need_evidence(make_session, world, table, arm, value):
    getattr(world, table)[arm] = value
    found = only(make_session([gate(3.0)]).result())
    assert found.verdict is Verdict.NO_EVIDENCE
    assert found.reason.startswith(arm)


def test_the_seed_draws_each_rounds_order(make_session, world):
    def orders(seed):
        world.log.clear()
        make_session(seed=seed).result()
        taken = [arm for arm, what in world.log if what == "slice"]
        return [tuple(taken[i : i + 5]) for i in range(0, len(taken), 5)]

    first, again, other = orders(1), orders(1), orders(2)
    assert first == again
    assert first != other
    assert all(set(order) == ARMS for order in first)
    assert len(set(first)) > 1


def test_evidence_comes_after_the_last_slice(make_session, world):
    make_session().result()
    whats = [what for _, what in world.log]
    assert whats.index("prove") > max(i for i, what in enumerate(whats) if what == "slice")


def test_arms_used_before_are_measured_anew(make_session, world):
    session = make_session()
    session.evidence(session.arms[0])
    session.result()
    assert world.ended == ["fp32@no_amx"]
    assert prepared(world).count("fp32@no_amx") == 2
    assert len(world.live) == len(session.arms)


def test_other_arms_run_without_a_missing_one(make_session, world):
    world.refused["int8@amx"] = "no INT8 in this engine"
    session = make_session([gate(3), gate(3, precision=Precision.INT8)])
    bf16, int8 = session.result().gates
    assert bf16.verdict is Verdict.PASS
    assert int8.verdict is Verdict.NOT_APPLICABLE
    assert "no INT8 in this engine" in int8.reason
    assert session.missing == {session.arms[4].id: "no INT8 in this engine"}
    assert world.ended == ["int8@amx"]


@pytest.mark.parametrize("when", ["prepare", "slice", "prove"])
def test_an_arm_beyond_its_ceiling_is_unproven(make_session, world, when):
    """Known-bad: a library that executes tile instructions under a ceiling without AMX."""
    death = CeilingIgnoredError("bf16", "it was killed by SIGILL")
    world.faults["bf16@avx512_bf16", when] = death
    session = make_session([gate(3.0), gate(3.0, Versus.NO_AMX)])
    result = session.result()
    sound, unproven = result.gates
    assert sound.verdict is Verdict.PASS
    assert unproven.verdict is Verdict.NO_EVIDENCE
    assert "ipex ignores its ceiling of avx512_bf16" in unproven.reason
    assert "SIGILL" in unproven.reason
    assert unproven.remedy
    (dead,) = [case for case in session.arms if case.arm == "bf16@avx512_bf16"]
    assert result.measurement.beyond_ceiling == {dead.id: "it was killed by SIGILL"}
    assert len(result.measurement.rounds) == ROUNDS
    with pytest.raises(CeilingIgnoredError):
        session.evidence(dead)
    assert prepared(world).count(dead.arm) == 1


def test_a_measurement_holds_its_arms_facts(make_session):
    measurement = make_session().result().measurement
    facts = measurement.arms[0]
    assert (facts.prepare_seconds, facts.items_per_step, facts.unit) == (5, 16, "images")
    assert facts.variables == {"ONEDNN_MAX_CPU_ISA": "X"}
    assert measurement.environment.removed_variables == {"OMP_X": ""}
    assert measurement.environment.versions == {"torch": "2.8.0"}


class TestMemory:
    def test_arms_that_do_not_fit_run_grouped(self, make_session, world):
        world.free = 3.5 * GIB
        gates = [gate(1.0), gate(1.0, Versus.NO_AMX), gate(1.0, precision=Precision.INT8)]
        result = make_session(gates, budget_seconds=120).result()
        assert world.most_live == 3
        assert [found.verdict for found in result.gates] == [Verdict.PASS] * 3
        measurement = result.measurement
        assert "3 of 5 arms at a time" in measurement.notes[0]
        assert len(measurement.rounds) == 2 * ROUNDS
        assert {facts.case.arm for facts in measurement.arms} == ARMS
        assert all(measurement.series(facts.case.id) for facts in measurement.arms)

    def test_a_result_outlives_its_workers(self, make_session, world):
        """Known-bad: an arm that was closed and is started again has no evidence at first."""
        world.free = 3.5 * GIB
        session = make_session([gate(1.0)], budget_seconds=120)
        result = session.result()
        for case in session.arms:
            session.outputs(case)
        assert session.so_far() == result

    def test_room_for_one_arm_is_too_little(self, make_session, world):
        world.free = 1.5 * GIB
        with pytest.raises(OutOfMemoryError, match=r"two arms at a time.*free memory"):
            make_session([gate(3.0)]).result()
        assert not world.live

    @pytest.mark.parametrize("capacity", [2, 3, 4, 5])
    def test_candidates_are_placed_beside_their_baselines(self, make_session, capacity):
        arms = make_session().arms
        pairs = [(arms[2], arms[0]), (arms[2], arms[1]), (arms[4], arms[0])]
        groups = place(arms, pairs, capacity)
        assert all(any({*pair} <= {*group} for group in groups) for pair in pairs)
        assert all(len(group) <= capacity for group in groups)
        assert set().union(*groups) == set(arms)


class TestFaults:
    @pytest.mark.parametrize("when", ["prepare", "slice", "prove"])
    def test_a_lost_worker_ends_the_trial_once(self, make_session, world, when):
        world.faults["bf16@amx", when] = LostChildError("bf16@amx", "it was killed by SIGKILL")
        session = make_session([gate(3.0)])
        for _ in range(2):
            with pytest.raises(LostChildError, match="SIGKILL"):
                session.result()
        assert prepared(world).count("bf16@amx") == 1
        assert "bf16@amx" in world.ended
        assert not world.live

    def test_ctrl_c_keeps_what_was_measured(self, make_session, world):
        session = make_session([gate(3.0)])
        count = iter(range(100))

        def speed():
            if next(count) == 3:
                raise KeyboardInterrupt
            return 0.15

        world.seconds["bf16@amx"] = speed
        with pytest.raises(KeyboardInterrupt):
            session.result()
        assert not world.live
        partial = session.so_far()
        assert len(partial.measurement.rounds) == 3
        assert only(partial).verdict is Verdict.INCONCLUSIVE
        assert "no evidence of" in only(partial).reason


@pytest.mark.parametrize("stopped_for", [60.0, 1.0])
def test_pause_undoes_rounds_that_pass(make_session, world, stopped_for):
    """Known-bad: eleven rounds would be enough."""
    session = make_session([gate(3.0)])
    count = iter(range(100))

    def speed():
        if next(count) == 11:
            world.now += stopped_for
        return 0.15

    world.seconds["bf16@amx"] = speed
    if stopped_for < 2:
        assert only(session.result()).verdict is Verdict.PASS
        return
    for _ in range(2):
        with pytest.raises(MachineChangedError, match=r"stood still for 60 s.*run it again"):
            session.result()
    assert not world.live
    found = only(session.so_far())
    assert (found.verdict, found.lack, found.speedup.pairs) == (
        Verdict.INCONCLUSIVE,
        Lack.STABILITY,
        11,
    )


def test_outputs_are_computed_once(make_session, world):
    session = make_session()
    session.result()
    for _ in range(2):
        session.outputs(session.arms[0])
        session.fp64_outputs()
    asked = [arm for arm, what in world.log if what == "outputs"]
    assert sorted(asked) == ["fp32@no_amx", "fp64@no_amx"]
    assert prepared(world).count("fp32@no_amx") == 1, "not from the measured worker"
    assert world.ended == ["fp64@no_amx"]
    session.close()
    assert not world.live


def test_arms_make_room_for_fp64_gradients(make_session, world):
    session = make_session()
    session.result()
    world.log.clear()
    session.fp64_gradients(batch=8)
    assert {arm for arm, what in world.log if what == "release"} == ARMS
    assert world.log[-2:] == [("fp64@no_amx", "prepare"), ("fp64@no_amx", "gradients")]
    assert world.ended == ["fp64@no_amx"]


def test_training_checkpoints_are_saved_when_asked(make_session, world, tmp_path):
    training = full_trial(Workload("resnet50", Mode.TRAINING))
    session = make_session(trial=training, checkpoints=tmp_path)
    session.result()
    saved = [what for _, what in world.log if what.startswith("checkpoint")]
    assert saved == [f"checkpoint {tmp_path / case.id}.pt" for case in session.arms]


@pytest.mark.parametrize(
    "error", [OutputError("cannot write in /full"), LostChildError("arm", "it was killed")]
)
def test_a_checkpoint_that_fails_costs_itself(make_session, world, tmp_path, error):
    training = full_trial(Workload("resnet50", Mode.TRAINING))
    session = make_session(trial=training, checkpoints=tmp_path)
    case = session.arms[0]
    world.faults[case.arm, f"checkpoint {tmp_path / case.id}.pt"] = error
    result = session.result()
    assert len(result.measurement.rounds) > 1
    (note,) = result.measurement.notes
    assert note.startswith(f"{case.arm}: ")
    assert note.endswith(getattr(error, "what", str(error)))
    assert session.evidence(case)
    session.gradients(case, batch=1)


def test_memory_on_another_node_is_noted(make_session, world):
    world.evidence = {"bf16@amx": {"memory_share": 0.9}, "fp32@no_amx": {"memory_share": 0.99}}
    notes = make_session([gate(3.0)]).result().measurement.notes
    assert notes == ("bf16@amx: only 90% of its memory lies on its NUMA node",)
