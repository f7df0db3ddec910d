"""What a comparison of two builds finds on the fake machine."""

import itertools
import random

import msgspec
import pytest
from fake_trial import SHAPE, full_trial

from amx_suite.ab.comparison import ArmName, pairs_of, parse_arm
from amx_suite.ab.kernels import kernel_shares, what_changed
from amx_suite.ab.measure import LAUNCHES, ROUNDS
from amx_suite.ab.render import render_markdown, render_terminal
from amx_suite.core.case import Arm
from amx_suite.core.evidence import Evidence, Family, Jail, KernelUse
from amx_suite.core.isa import Isa
from amx_suite.core.precision import Precision
from amx_suite.core.run import ExitCode
from amx_suite.core.verdict import Verdict
from amx_suite.errors import (
    CeilingIgnoredError,
    EngineUnavailableError,
    LostChildError,
    MachineChangedError,
    OutOfMemoryError,
    UsageError,
)
from amx_suite.history.change import Change

pytestmark = pytest.mark.selftest

VECTORS = ArmName(Precision.BF16, Isa.AVX512_BF16)
NEW, BASE = "bf16@amx:new", "bf16@amx:base"


@pytest.mark.parametrize(
    ("factor", "change", "code"),
    [
        (1.0, Change.UNCHANGED, ExitCode.OK),
        (1.1, Change.WORSE, ExitCode.FAILED),
        (0.9, Change.BETTER, ExitCode.OK),
    ],
)
def test_slower_new_side_is_worse(bench, factor, change, code):
    bench.world.seconds[NEW] = factor * bench.world.seconds["bf16@amx"]
    report = bench.run()
    (pair,) = report.pairs
    assert (pair.change, report.exit_code) == (change, code)
    assert pair.ratio == pytest.approx(1 / factor)
    assert pair.low < pair.ratio < pair.high


def test_noise_is_inconclusive(bench):
    draw = random.Random(0)
    bench.world.seconds["bf16@amx"] = lambda: draw.choice([0.15, 0.3])
    report = bench.run()
    assert report.pairs[0].change is Change.INCONCLUSIVE
    assert "too wide" in report.pairs[0].reason
    assert report.exit_code is ExitCode.UNDECIDED


def test_too_few_rounds_decide_nothing(bench):
    bench.budget_seconds = 0.1
    bench.world.seconds[NEW] = 0.3
    pair = bench.pair()
    assert (pair.change, pair.ratio) == (Change.INCONCLUSIVE, None)
    assert "4 launches were measured, in 4 rounds" in pair.reason
    assert "--budget" in pair.reason


def test_launches_are_fresh_and_ordered_anew(bench):
    bench.measure()
    (measured,) = bench.measurer.measured
    assert len(measured.launches) == LAUNCHES
    assert all(len(launch.rounds) == ROUNDS for launch in measured.launches)
    prepared = [arm for arm, what in bench.world.log if what == "prepare"]
    assert prepared.count(BASE) == prepared.count(NEW) == LAUNCHES
    orders = [[p.arm_id for r in m.rounds for p in r.slices] for m in measured.launches]
    assert len(set(map(tuple, orders))) == LAUNCHES
    assert not bench.world.live


def test_sides_take_slices_of_as_many_steps(bench):
    """Else the caches favour the side with the longer slices."""

    class Worker(bench.worker):
        def prepare(self, case, inputs):
            prepared = super().prepare(case, inputs)
            return msgspec.structs.replace(prepared, iterations=1 + (case.side == "new"))

    bench.worker = Worker
    pair = bench.pair(control=True)
    steps = {p.iterations for m in pair.launches for r in m.rounds for p in r.slices}
    assert steps == {2}


def test_all_arms_are_compared(bench):
    report = bench.run(None)
    assert len({pair.name for pair in report.pairs}) == len(full_trial().arms)
    assert {pair.change for pair in report.pairs} == {Change.UNCHANGED}
    # Pooled over comparisons.
    assert report.spread.degrees > LAUNCHES * len(report.pairs) - len(report.pairs)


def test_two_arms_may_differ(bench):
    pair = bench.pair(ArmName(Precision.FP32, Isa.NO_AMX), new_arm=VECTORS)
    assert pair.name == "resnet50-inference-fp32-no_amx-ipex-to-bf16-avx512_bf16-ipex"
    assert pair.ratio == pytest.approx(0.9 / 1.26)


def test_one_named_arm_counts_for_both():
    trial = full_trial()
    (found,) = pairs_of(trial, trial, new_arm=VECTORS)
    assert found.base.isa is found.new.isa is Isa.AVX512_BF16


@pytest.mark.parametrize("text", ["bf16", "bf16@", "bf15@amx", "fp64@amx", "bf16@amx@x"])
def test_wrong_arm_is_refused(text):
    with pytest.raises(UsageError, match=r"--new-arm.*expected PRECISION@CEILING.*bf16@amx"):
        parse_arm(text, "--new-arm")


def test_side_stands_in_the_id():
    arm = Arm(full_trial().workload, "ipex", Precision.BF16, Isa.AMX, SHAPE, 2)
    sided = msgspec.structs.replace(arm, side="new")
    assert (arm.arm, sided.arm) == ("bf16@amx", "bf16@amx:new")
    assert sided.id == f"{arm.id}:new"
    assert msgspec.structs.replace(sided, copy=2).id == f"{arm.id}:new#2"


# Evidence


def test_unproven_new_side_is_worse(bench):
    bench.world.amx_share[NEW] = 0.0
    bench.world.seconds[NEW] = 0.1
    report = bench.run()
    assert report.pairs[0].change is Change.WORSE
    assert "NO_EVIDENCE: bf16@amx:new: 0%" in report.pairs[0].reason
    assert report.exit_code is ExitCode.FAILED
    assert "brgconv:avx10_1_512_amx 99% -> jit:avx512_core 100%" in report.pairs[0].kernels


def test_unproven_base_decides_nothing(bench):
    bench.world.amx_share[BASE] = 0.0
    bench.world.seconds[NEW] = 0.3
    report = bench.run()
    assert report.pairs[0].change is Change.INCONCLUSIVE
    assert "NO_EVIDENCE: bf16@amx:base" in report.pairs[0].reason


def test_new_side_beyond_ceiling_is_worse(bench):
    bench.world.faults["bf16@avx512_bf16:new", "slice"] = CeilingIgnoredError("x", "SIGILL")
    pair = bench.pair(VECTORS)
    assert pair.change is Change.WORSE
    assert "ignores its ceiling" in pair.reason


def test_same_kernels_are_not_mentioned(bench):
    assert bench.pair().kernels == ""


def evidence(**operations):
    kernels = tuple(
        KernelUse("matmul", name, Family.REFERENCE, 1, 1.0, "bf16", count)
        for name, count in operations.items()
    )
    return Evidence(Isa.AMX, Jail.NOT_ASKED, True, kernels=kernels)


@pytest.mark.parametrize(
    ("base", "new", "words"),
    [
        ({"brg": 99, "x": 1}, {"ref": 99, "x": 1}, "brg 99% -> ref 99%"),
        ({"brg": 99, "x": 1}, {"brg": 98, "y": 2}, ""),
        ({"brg": 60, "x": 40}, {"brg": 80, "x": 20}, "brg 60%, x 40% -> brg 80%, x 20%"),
        ({"brg": 1}, {}, "brg 100% -> none logged"),
        ({}, {}, ""),
        # A kernel of unknown size.
        ({"brg": 0}, {"ref": 0}, "brg 100% -> ref 100%"),
    ],
)
def test_changed_kernels_are_named(base, new, words):
    assert what_changed(*(kernel_shares(evidence(**each)) for each in (base, new))) == words


# Numbers


def test_wrong_numbers_fail_however_fast(bench):
    bench.world.numbers[NEW] = 1.1
    bench.world.seconds[NEW] = 0.1
    report = bench.run()
    (pair,) = report.pairs
    assert pair.change is Change.BETTER
    assert pair.accuracy.verdict is Verdict.FAIL
    assert "SQNR of the worst item fails with 20" in pair.accuracy.reason
    assert report.exit_code is ExitCode.FAILED
    assert "1 with wrong numbers" in render_terminal(report, width=150)


@pytest.mark.parametrize(("factor", "verdict"), [(1.005, Verdict.PASS), (1.02, Verdict.FAIL)])
def test_losses_are_compared_in_training(bench, training, factor, verdict):
    bench.world.numbers[NEW] = factor
    pair = bench.pair(workload=training)
    assert pair.accuracy.verdict is verdict
    assert "loss gap" in pair.accuracy.agreement.measure
    assert f"gap {factor - 1:.3g}" in pair.accuracy.text


def test_other_model_has_no_accuracy_verdict(bench):
    bench.world.numbers |= {"fp32@no_amx:new": 2.0, NEW: 2.0}
    report = bench.run()
    (pair,) = report.pairs
    assert pair.accuracy.verdict is Verdict.INCONCLUSIVE
    assert "do not have the same model" in pair.accuracy.reason
    assert (pair.change, report.exit_code) == (Change.UNCHANGED, ExitCode.UNDECIDED)
    assert "undecided" in render_terminal(report, width=150)


def test_models_are_compared_once(bench):
    bench.measure(None)
    prepared = [arm for arm, what in bench.world.log if what == "prepare"]
    assert prepared.count("fp32@no_amx:new") == LAUNCHES + 1


def test_int8_of_own_weights_is_not_judged(bench):
    trial = full_trial()
    own = msgspec.structs.replace(
        trial, arms=tuple(msgspec.structs.replace(arm, weights="/w") for arm in trial.arms)
    )
    (comparison,) = pairs_of(own, own, base_arm=ArmName(Precision.INT8, Isa.AMX))
    bench.measurer.measure(comparison)
    report = bench.report()
    assert report.pairs[0].accuracy.verdict is Verdict.NOT_APPLICABLE
    assert report.exit_code is ExitCode.OK


def test_not_a_number_fails(bench):
    bench.world.numbers[NEW] = float("nan")
    report = bench.run()
    assert report.exit_code is ExitCode.FAILED
    assert "FAIL: 200 of the result's 200 elements" in report.pairs[0].accuracy.text


# Faults


@pytest.mark.parametrize(
    ("side", "error", "change"),
    [
        ("new", LostChildError, Change.WORSE),
        ("base", LostChildError, Change.INCONCLUSIVE),
        ("new", OutOfMemoryError, Change.INCONCLUSIVE),
    ],
)
@pytest.mark.parametrize("when", ["prepare", "slice", "prove", "outputs"])
def test_dead_side_is_named(bench, side, error, change, when):
    arm = next(pairs_of(full_trial(), full_trial(), base_arm=ArmName(Precision.BF16, Isa.AMX)))
    label = getattr(arm, side).id
    bench.world.faults[f"bf16@amx:{side}", when] = error(label, "it ended")
    report = bench.run()
    if (when, error) == ("outputs", OutOfMemoryError):
        # What was timed stands.
        assert report.pairs[0].accuracy.verdict is Verdict.INCONCLUSIVE
    else:
        assert report.pairs[0].change is change
        assert f"{label}: it ended" in report.pairs[0].reason
    assert report.exit_code is (ExitCode.FAILED if change is Change.WORSE else ExitCode.UNDECIDED)
    assert not bench.world.live


def test_crash_in_fp32_of_new_is_worse(bench):
    class Worker(bench.worker):
        def outputs(self):
            if self.case.arm == "fp32@no_amx:new":
                raise LostChildError(self.case.id, "it ended")
            return super().outputs()

    bench.worker = Worker
    assert bench.pair().change is Change.WORSE


@pytest.mark.parametrize("error", [MachineChangedError("it slept"), EngineUnavailableError("no")])
def test_changed_machine_decides_nothing(bench, error):
    bench.world.faults[NEW, "slice"] = error
    pair = bench.pair()
    assert pair.change is Change.INCONCLUSIVE
    assert str(error) in pair.reason


def test_arm_that_new_lost_has_vanished(bench):
    bench.world.refused[NEW] = "there is none"
    report = bench.run()
    assert report.pairs[0].change is Change.VANISHED
    assert f"{NEW}: there is none" in report.pairs[0].reason
    assert len(report.pairs[0].launches) == 1
    assert report.exit_code is ExitCode.UNDECIDED


@pytest.mark.parametrize("side", ["base", "new"])
def test_arm_that_need_not_be_is_skipped(bench, side):
    arm = {"base": "int8@amx", "new": "bf16@avx512_bf16"}[side]
    bench.world.refused[f"{arm}:{side}"] = "there is none"
    bench.measure(ArmName(Precision.INT8, Isa.AMX), new_arm=VECTORS)
    report = bench.run()
    assert [pair.change for pair in report.pairs] == [Change.UNCHANGED]
    assert list(report.skipped.values()) == [f"{arm}:{side}: there is none"]
    assert report.exit_code is ExitCode.OK


@pytest.mark.parametrize(("launches", "change"), [(2, "inconclusive"), (3, "worse")])
def test_interrupt_keeps_whole_launches(bench, launches, change):
    slices = itertools.count(1)
    bench.world.seconds[BASE] = 0.1

    def step():
        if next(slices) > launches * ROUNDS:
            raise KeyboardInterrupt
        return 0.2

    bench.world.seconds[NEW] = step
    with pytest.raises(KeyboardInterrupt):
        bench.measure()
    report = bench.report(ended_by="SIGINT")
    assert report.pairs[0].change == change
    assert report.exit_code is (ExitCode.FAILED if change == "worse" else ExitCode.UNDECIDED)
    assert "SIGINT ended the run early" in render_terminal(report, width=150)
    assert not bench.world.live


def test_nothing_measured_is_never_ok(bench):
    assert bench.report().exit_code is ExitCode.UNDECIDED
    assert bench.report(lacks_amx=True).exit_code is ExitCode.NOT_USABLE


# Control


def test_control_shows_the_noise_floor(bench):
    pair = bench.pair(control=True)
    assert pair.control.ratio == pytest.approx(1.0)
    assert 0 < pair.noise < 0.05
    text = render_terminal(bench.report(), width=150)
    assert f"a change must exceed 5.0% here (noise: {pair.noise:.1%})" in text
    assert "control" in text


def test_noise_raises_what_a_change_must_exceed(bench):
    draw = random.Random(0)
    bench.world.seconds["bf16@amx"] = lambda: draw.choice([0.15, 0.3])
    pair = bench.pair(control=True)
    assert pair.noise > 0.1
    text = render_terminal(bench.report(), width=150)
    assert f"a change must exceed {pair.noise:.1%} here" in text


def test_control_that_differs_decides_nothing(bench):
    bench.world.seconds |= {BASE: 0.1, f"{BASE}#2": 0.15, NEW: 0.15}
    pair = bench.pair(control=True)
    assert pair.change is Change.INCONCLUSIVE
    assert "the control found -33.3%" in pair.reason


def test_report_names_both_sides(bench):
    bench.world.seconds[NEW] = 0.3
    report = msgspec.structs.replace(bench.run(), skipped={"x-int8": "not here"})
    for text in (render_terminal(report, width=150), render_markdown(report)):
        assert "base: ipex in /usr/bin/python3: Python 3.12.4, torch 2.8.0" in text
        assert "-50.0% [" in text
        assert "x-int8: skipped: not here" in text
        assert "WORSE (exit code 1): 1 worse, 1 skipped" in text
    assert msgspec.json.decode(msgspec.json.encode(report), type=type(report)) == report


def test_memory_for_two_arms_still_compares(bench):
    bench.world.free = 2.4 * 2**30
    pair = bench.pair(control=True)
    assert pair.control is not None
    assert bench.world.most_live == 2
