"""The charts of a trial show each number that can be shown."""

from __future__ import annotations

import math

import msgspec
import pytest
import sample_runs as runs

from amx_suite.core.evidence import Family, KernelUse
from amx_suite.core.gate import Versus
from amx_suite.core.trial import TrialResult
from amx_suite.core.verdict import Verdict
from amx_suite.report.charts import FAMILY_COLOURS, rounds_chart, speedup_chart, time_chart

pytestmark = pytest.mark.selftest

#: The stroke of the mark of a gate's minimum.
MARK = "stroke-width: 2.5"


def svg_of(trial: TrialResult) -> str:
    chart = speedup_chart(trial)
    assert chart is not None
    return chart.svg


def test_each_gate_has_its_mark() -> None:
    one = runs.gate_result()
    both = (one, runs.gate_result(Verdict.FAIL, versus=Versus.NO_AMX))
    assert svg_of(runs.trial_result()).count(MARK) == 0
    assert svg_of(runs.trial_result(one)).count(MARK) == 1
    assert svg_of(runs.trial_result(*both)).count(MARK) == 2


def test_mark_stands_at_its_minimum() -> None:
    """The minimum of a gate moves the mark, in pixels as in the axis' numbers."""

    def place(minimum: float) -> float:
        result = runs.gate_result()
        gate = msgspec.structs.replace(result.gate, minimum=minimum)
        svg = svg_of(runs.trial_result(msgspec.structs.replace(result, gate=gate)))
        path = svg[: svg.index(MARK)].rpartition('<path d="M ')[2]
        return float(path.split()[0])

    zero = place(0.0)
    assert place(3.0) - zero == pytest.approx(3 * (place(1.0) - zero), rel=1e-3)


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (runs.gate_result(), "4.00x [4.00, 4.00], minimum 2.39, PASS"),
        (runs.gate_result(Verdict.FAIL), "4.00x [4.00, 4.00], minimum 2.39, FAIL"),
        (runs.gate_result(Verdict.INCONCLUSIVE), "minimum 2.39, INCONCLUSIVE"),
    ],
)
def test_bar_has_its_verdict_in_words(result, words: str) -> None:
    assert words in svg_of(runs.trial_result(result))


def test_undecided_and_absent_arms_are_named() -> None:
    undecided = runs.gate_result(Verdict.INCONCLUSIVE)
    trial = runs.trial_result(undecided, rounds=0)
    assert "no quiet round, minimum 2.39, INCONCLUSIVE" in svg_of(trial)
    absent = runs.gate_result(Verdict.NOT_APPLICABLE)
    without = runs.measured(
        runs.trial_result(absent), arms=runs.trial_result().measurement.arms[:2]
    )
    assert "did not run, minimum 2.39, NOT_APPLICABLE" in svg_of(without)


def test_numbers_that_are_none_are_left_out() -> None:
    result = runs.gate_result()
    gate = msgspec.structs.replace(result.gate, minimum=math.nan)
    assert "minimum nan" in svg_of(runs.trial_result(msgspec.structs.replace(result, gate=gate)))


def test_time_names_operations_and_their_isa() -> None:
    kernels = (
        KernelUse("convolution", "brgconv:avx512_core_amx", Family.AMX, 50, 60.0),
        KernelUse("reorder", "jit:uni", Family.UNNAMED, 9, 15.0),
        KernelUse("matmul", "brg_matmul:avx512_core_vnni", Family.AVX512_VNNI, 3, 4.0),
        KernelUse("matmul", "brg_matmul:avx512_core", Family.AVX512, 3, 1.0),
    )
    timed = msgspec.structs.replace(runs.AMX_EVIDENCE, kernels=kernels, step_milliseconds=100.0)
    silent = msgspec.structs.replace(timed, kernels=())
    arms = (runs.arm(runs.FP32, silent), runs.arm(runs.AMX, timed))
    chart = time_chart(runs.measured(runs.trial_result(), arms=arms))
    assert chart is not None
    assert "convolution AMX 60%, unseen 20%, reorder other 15%, ..." in chart.svg
    assert "matmul AVX-512 5%" in chart.words
    assert "fp32@no_amx, of 100.0 ms: unseen 100%" in chart.words
    assert time_chart(runs.trial_result()) is None, "its evidence steps were not timed"


def test_inflated_times_are_shares_of_their_sum() -> None:
    many = KernelUse("matmul", "brg_matmul:avx512_core_amx", Family.AMX, 4608, 150.0)
    timed = msgspec.structs.replace(runs.AMX_EVIDENCE, kernels=(many,), step_milliseconds=100.0)
    chart = time_chart(runs.measured(runs.trial_result(), arms=(runs.arm(runs.AMX, timed),)))
    assert chart is not None
    assert chart.words == "bf16@amx, of 150.0 ms logged in 100.0 ms: matmul AMX 100%"


def test_amx_has_a_colour_of_its_own() -> None:
    same = [family for family in Family if FAMILY_COLOURS[family] == FAMILY_COLOURS[Family.AMX]]
    assert same == [Family.AMX]


def test_disturbed_slices_have_marks_of_their_own() -> None:
    quiet = runs.trial_result(rounds=3)
    first, *rest = quiet.measurement.rounds
    busy = msgspec.structs.replace(first, slices=(), disturbed=first.slices)
    mixed = rounds_chart(runs.measured(quiet, rounds=(busy, *rest)))
    calm = rounds_chart(quiet)
    assert mixed is not None
    assert calm is not None
    assert "6 quiet and 3 disturbed" in mixed.words
    assert "#a3372b" in mixed.svg
    assert "#a3372b" not in calm.svg
    assert rounds_chart(runs.trial_result(rounds=0)) is None
