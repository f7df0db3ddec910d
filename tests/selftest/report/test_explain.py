"""Where the time went: shares, the largest kernels, and the limit that follows."""

import msgspec
import pytest
from sample_runs import AMX, AMX_EVIDENCE, BF16, FP32, arm, gate_result, measured, trial_result

from amx_suite.core.evidence import Family, KernelUse
from amx_suite.core.verdict import Verdict
from amx_suite.report.explain import explained

pytestmark = pytest.mark.selftest

KERNELS = (
    KernelUse("convolution", "brgconv:avx512_core_amx", Family.AMX, 50, 60.0, "bf16"),
    KernelUse("convolution", "jit:avx512_core", Family.AVX512, 3, 10.0, "f32"),
    KernelUse("reorder", "jit:uni", Family.UNNAMED, 9, 5.0, "f32"),
    KernelUse("graph:quantized_conv", "conv:dnnl_backend", Family.UNNAMED, 1, 70.0),
)
TIMED = msgspec.structs.replace(AMX_EVIDENCE, kernels=KERNELS, step_milliseconds=100.0)


def explanations(result, evidence=TIMED):
    """The lines on each gate of a trial whose AMX arm has this evidence."""
    arms = (arm(FP32, TIMED), arm(BF16, TIMED), arm(AMX, evidence))
    return [lines for _, lines in explained(measured(trial_result(result), arms=arms))]


def test_missed_gate_has_shares_kernels_and_limit():
    """Graph partitions are left out: the log has their primitives as well."""
    (lines,) = explanations(gate_result(Verdict.FAIL))
    assert "60% on AMX kernels, 10% on other kernels, 5% in reorders, 25% unseen" in lines[0]
    assert lines[2].startswith("kernel 1: 50 x convolution brgconv:avx512_core_amx bf16 60.0 ms |")
    assert "10.00x at most; the gate asks 2.39x" in lines[-1]  # 4.0 / (1 - 0.6)


def test_overlapping_primitives_leave_nothing_unseen():
    overlapping = msgspec.structs.replace(TIMED, step_milliseconds=50.0)
    (lines,) = explanations(gate_result(Verdict.FAIL), overlapping)
    assert "80% on AMX kernels, 13% on other kernels, 7% in reorders, 0% unseen" in lines[0]


@pytest.mark.parametrize("change", [{"kernels": ()}, {"step_milliseconds": 0.0}])
def test_arm_without_log_has_no_limit(change):
    (lines,) = explanations(gate_result(Verdict.FAIL), msgspec.structs.replace(TIMED, **change))
    assert "all of its time is unseen" in lines[0]
    assert not any("Amdahl" in line for line in lines)


def test_nothing_is_explained_without_evidence():
    assert explanations(gate_result(Verdict.FAIL), None) == []


def passed(ratio):
    result = gate_result()
    speedup = msgspec.structs.replace(result.speedup, ratio=ratio)
    return msgspec.structs.replace(result, speedup=speedup)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (gate_result(Verdict.NO_EVIDENCE), True),
        (gate_result(Verdict.INCONCLUSIVE), True),
        (gate_result(Verdict.NOT_APPLICABLE), False),
        (passed(2.39 * 1.05), True),
        (passed(2.39 * 1.50), False),
    ],
)
def test_gates_missed_or_near_are_explained(result, expected):
    assert bool(explanations(result)) is expected
