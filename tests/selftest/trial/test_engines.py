"""Engines compared in the same rounds, and the floors of the stock ones, on a fake machine."""

import itertools

import pytest
from fake_trial import GIB

from amx_suite.core.case import Mode, Precision, Shape, Workload
from amx_suite.core.isa import Isa
from amx_suite.core.trial import Trial, arms_of
from amx_suite.core.units import Unit
from amx_suite.core.verdict import Verdict
from amx_suite.errors import CeilingIgnoredError, EngineUnavailableError, LostChildError
from amx_suite.gates import load_gates
from amx_suite.trial.decide import LEAST_ROUNDS, ROUNDS, decide_pair, gates_of
from amx_suite.trial.interval import paired_speedup

pytestmark = pytest.mark.selftest

ENGINES = ("ipex", "eager", "inductor")


def trial_of(precision=Precision.BF16, mode=Mode.INFERENCE):
    workload = Workload("resnet50", mode)
    return Trial.of_engines(workload, precision, ENGINES, Shape(16, 224), threads=2)


@pytest.fixture
def compare(make_session, world):
    """A finished session, and for each engine but the first the answer, or the error that it met.

    Its speeds are fast enough for any to be told: ipex 0.15 s, eager 0.3 s, inductor 0.1 s.
    """
    for precision in ("bf16", "int8"):
        speeds = zip(ENGINES, (0.15, 0.3, 0.1), strict=True)
        world.seconds |= {f"{engine}:{precision}@amx": s for engine, s in speeds}

    def compare(trial=None, **more):
        session = make_session(trial=trial or trial_of(), **more)
        measurement = session.result().measurement
        first, *others = session.arms
        missing = {c.id: why for c in session.arms if (why := session.why_missing(c))}
        answers = {
            other.engine: session.why_lost(first)
            or session.why_lost(other)
            or decide_pair(first, other, measurement, missing)
            for other in others
        }
        return session, answers

    return compare


def ratio(session, engine):
    first = session.arms[0]
    (other,) = (case for case in session.arms if case.engine == engine)
    return paired_speedup(session.result().measurement.pairs(first.id, other.id)).ratio


def verdicts(answers):
    return {engine: answer.verdict for engine, answer in answers.items()}


@pytest.mark.parametrize("mode", Mode)
def test_the_arm_of_each_precision_is_the_one_that_may_use_most(mode):
    for precision, _ in arms_of(mode):
        trial = trial_of(precision, mode)
        assert trial.engines == ENGINES
        assert trial.name == f"resnet50-{mode}-{precision}-engines"
        allowed = Isa.AVX512 if precision is Precision.FP32 else Isa.AMX
        assert {case.isa for case in trial.arms} == {allowed}
        assert gates_of(trial, load_gates(None)) == ()


def test_a_trial_of_one_engine_compares_none():
    workload = Workload("resnet50", Mode.INFERENCE)
    assert Trial.of(workload, "ipex", Shape(16, 224), threads=2).engines == ()


def test_all_take_a_turn_in_each_round(compare):
    session, answers = compare()
    rounds = session.result().measurement.rounds
    assert len(rounds) == ROUNDS
    assert all(len(round_.slices) == len(ENGINES) for round_ in rounds)
    assert verdicts(answers) == {"eager": Verdict.PASS, "inductor": Verdict.PASS}
    assert ratio(session, "eager") == pytest.approx(0.5)
    assert ratio(session, "inductor") == pytest.approx(1.5)
    assert session.result().measurement.engines == ENGINES


def test_quiet_is_waited_for(compare, world):
    neighbour = itertools.cycle([1000.0] * 12 + [420.0] * 12)
    world.rates[Unit.TILE] = lambda: next(neighbour)
    session, answers = compare()
    assert len(session.result().measurement.rounds) == ROUNDS
    assert verdicts(answers) == {"eager": Verdict.PASS, "inductor": Verdict.PASS}


def test_a_budget_without_enough_quiet_rounds_is_inconclusive(compare, world):
    world.rates[Unit.TILE] = 420.0
    session, answers = compare(budget_seconds=40)
    assert session.lacks_quiet
    assert verdicts(answers) == dict.fromkeys(ENGINES[1:], Verdict.INCONCLUSIVE)
    assert answers["eager"].reason.startswith("0 quiet rounds in 40 s")
    assert f"{LEAST_ROUNDS} are needed" in answers["eager"].reason


def test_work_without_amx_is_no_evidence_and_names_its_engine(compare, world):
    world.amx_share["eager:bf16@amx"] = 0.2
    _, answers = compare()
    assert verdicts(answers) == {"eager": Verdict.NO_EVIDENCE, "inductor": Verdict.PASS}
    assert answers["eager"].reason.startswith("eager: bf16@amx: 20% of the matrix primitives' time")


def test_an_unproven_first_engine_leaves_no_comparison(compare, world):
    world.amx_share["ipex:bf16@amx"] = 0.2
    _, answers = compare()
    assert verdicts(answers) == dict.fromkeys(ENGINES[1:], Verdict.NO_EVIDENCE)
    assert answers["inductor"].reason.startswith("ipex: ")


def test_an_arm_that_the_engine_lacks_is_not_applicable(compare, world):
    world.refused["eager:int8@amx"] = "no INT8 in this version"
    session, answers = compare(trial_of(Precision.INT8))
    assert verdicts(answers) == {"eager": Verdict.NOT_APPLICABLE, "inductor": Verdict.PASS}
    assert answers["eager"].reason == "eager: no INT8 in this version"
    assert ratio(session, "inductor") == pytest.approx(1.5)


DEATH = LostChildError("eager", "it was killed by SIGSEGV", "Segmentation fault")


@pytest.mark.parametrize(
    ("when", "error", "told"),
    [
        ("prepare", DEATH, "child process eager: it was killed by SIGSEGV"),
        ("slice", DEATH, "child process eager: it was killed by SIGSEGV"),
        ("prove", DEATH, "child process eager: it was killed by SIGSEGV"),
        ("prepare", EngineUnavailableError("no library"), "no library"),
    ],
    ids=["prepare", "slice", "prove", "unavailable"],
)
def test_a_broken_engine_costs_its_own_comparison_only(compare, world, when, error, told):
    """Known-bad: one engine's worker dies, whatever it is doing, or cannot load its engine."""
    world.faults["eager:bf16@amx", when] = error
    session, answers = compare()
    assert answers["eager"] is error
    assert answers["inductor"].verdict is Verdict.PASS
    assert ratio(session, "inductor") == pytest.approx(1.5)
    notes = session.result().measurement.notes
    assert f"eager was given up: {told}" in notes
    assert world.ended["bf16@amx"] == "close"


def test_without_the_first_engine_nothing_is_timed(compare, world):
    death = LostChildError("ipex", "it was killed by SIGSEGV")
    world.faults["ipex:bf16@amx", "prepare"] = death
    session, answers = compare()
    assert set(answers.values()) == {death}
    assert not session.has_rounds


def test_tile_instructions_in_the_jail_are_no_evidence(compare, world):
    death = CeilingIgnoredError("eager", "it was killed by SIGILL")
    world.faults["eager:fp32@avx512", "slice"] = death
    _, answers = compare(trial_of(Precision.FP32))
    assert verdicts(answers) == {"eager": Verdict.NO_EVIDENCE, "inductor": Verdict.PASS}
    assert "eager ignores its ceiling" in answers["eager"].reason


def test_where_memory_holds_two_each_still_runs_beside_the_first(compare, world):
    world.free = int(2.5 * GIB)
    session, answers = compare()
    assert verdicts(answers) == {"eager": Verdict.PASS, "inductor": Verdict.PASS}
    assert (ratio(session, "eager"), ratio(session, "inductor")) == pytest.approx((0.5, 1.5))
    assert world.most_live == 2


FLOORS = ("int8-vs-fp32", "int8-vs-no-amx", "bf16-vs-fp32", "bf16-vs-no-amx")


@pytest.mark.parametrize("engine", ["eager", "inductor"])
@pytest.mark.parametrize(
    ("slow", "missed"),
    [
        ({}, ()),
        ({"int8@amx": 0.4}, ("int8-vs-no-amx",)),
        ({"bf16@amx": 1.0}, ("bf16-vs-fp32",)),
        ({"bf16@amx": 1.5, "int8@amx": 1.5}, FLOORS),
    ],
    ids=["fast", "below-vnni", "below-fp32", "below-all"],
)
def test_the_shipped_floors_fail_amx_that_is_of_no_use(make_session, world, engine, slow, missed):
    """Known-bad: AMX arms of a stock engine that are slower than the same work without AMX."""
    world.seconds |= slow
    workload = Workload("resnet50", Mode.INFERENCE)
    trial = Trial.of(workload, engine, Shape(16, 224), threads=2)
    results = make_session(load_gates(None), trial=trial).result().gates
    found = {f"{r.gate.precision}-vs-{r.gate.versus}": r.verdict for r in results}
    assert found == {name: Verdict.FAIL if name in missed else Verdict.PASS for name in FLOORS}
