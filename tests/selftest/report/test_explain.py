"""Where the time went: shares, the largest kernels, and the bound that follows."""

import msgspec
import pytest
from sample_runs import AMX, AMX_EVIDENCE, BF16, FP32, arm, gate_result, summary, trial_result

from amx_suite.core.evidence import Family, KernelUse
from amx_suite.core.verdict import Verdict
from amx_suite.report import render_markdown
from amx_suite.report.explain import breakdown, explanation, needs_explaining

pytestmark = pytest.mark.selftest

KERNELS = (
    KernelUse("convolution", "brgconv:avx512_core_amx", Family.AMX, 50, 60.0, "bf16"),
    KernelUse("convolution", "jit:avx512_core", Family.AVX512, 3, 10.0, "f32"),
    KernelUse("reorder", "jit:uni", Family.UNNAMED, 9, 5.0, "f32"),
    KernelUse("graph:quantized_conv", "conv:dnnl_backend", Family.UNNAMED, 1, 70.0),
)
TIMED = msgspec.structs.replace(AMX_EVIDENCE, kernels=KERNELS, step_milliseconds=100.0)


def with_evidence(result, evidence):
    arms = (arm(FP32, TIMED), arm(BF16, TIMED), arm(AMX, evidence))
    measurement = msgspec.structs.replace(result.measurement, arms=arms)
    return msgspec.structs.replace(result, measurement=measurement)


def test_shares_add_up_and_graph_partitions_are_not_counted_twice():
    found = breakdown(TIMED)
    assert (found.amx, found.other, found.reorder, found.unseen) == pytest.approx(
        (0.60, 0.10, 0.05, 0.25)
    )


def test_primitives_beside_each_other_leave_nothing_unseen():
    found = breakdown(msgspec.structs.replace(TIMED, step_milliseconds=50.0))
    assert found.unseen == 0
    assert found.amx + found.other + found.reorder == pytest.approx(1)


@pytest.mark.parametrize("change", [{"kernels": ()}, {"step_milliseconds": 0.0}])
def test_without_a_log_there_is_no_breakdown(change):
    assert breakdown(msgspec.structs.replace(TIMED, **change)) is None


def test_a_missed_gate_is_explained_with_amdahls_limit():
    failed = gate_result(Verdict.FAIL)
    lines = explanation(with_evidence(trial_result(failed), TIMED), failed)
    assert "60% on AMX kernels, 10% on other kernels, 5% in reorders, 25% unseen" in lines[0]
    assert lines[2].startswith("kernel 1: 50 x convolution brgconv:avx512_core_amx bf16 60.0 ms |")
    assert "10.00x at most; the gate asks 2.39x" in lines[-1]  # 4.0 / (1 - 0.6)


def test_an_arm_without_a_log_says_so_and_gives_no_limit():
    failed = gate_result(Verdict.FAIL)
    bare = msgspec.structs.replace(TIMED, kernels=())
    lines = explanation(with_evidence(trial_result(failed), bare), failed)
    assert "all of its time is unseen" in lines[0]
    assert not any("Amdahl" in line for line in lines)


def test_without_evidence_there_is_nothing_to_say():
    failed = gate_result(Verdict.FAIL)
    assert explanation(with_evidence(trial_result(failed), None), failed) == ()


def near(ratio):
    passed = gate_result(Verdict.PASS)
    speedup = msgspec.structs.replace(passed.speedup, ratio=ratio)
    return msgspec.structs.replace(passed, speedup=speedup)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (gate_result(Verdict.FAIL), True),
        (gate_result(Verdict.NO_EVIDENCE), True),
        (gate_result(Verdict.INCONCLUSIVE), True),
        (gate_result(Verdict.NOT_APPLICABLE), False),
        (near(2.39 * 1.05), True),
        (near(2.39 * 1.50), False),
    ],
)
def test_what_was_missed_or_nearly_so_is_explained(result, expected):
    assert needs_explaining(result) is expected


def test_the_report_holds_it():
    failed = gate_result(Verdict.FAIL)
    text = render_markdown(summary(trials=(with_evidence(trial_result(failed), TIMED),)))
    section = text.split("## Where the time went")[1].split("\n## ")[0]
    assert "Amdahl" in section
    assert "resnet50-inference-bf16-vs-fp32-b16x224" in section
