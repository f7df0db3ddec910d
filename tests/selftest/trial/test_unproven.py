"""Evidence that proves an arm, and every way in which it does not."""

import re

import msgspec
import pytest

from amx_suite.core.case import Arm, Mode, Precision, Shape, Workload
from amx_suite.core.evidence import Evidence, Family, Jail, KernelUse
from amx_suite.core.isa import Isa
from amx_suite.trial.unproven import why_unproven

pytestmark = pytest.mark.selftest


def case(precision, isa):
    workload = Workload("resnet50", Mode.INFERENCE)
    return Arm(workload, "ipex", precision, isa, Shape(16, 224), threads=2)


def kernel(family=Family.AMX, data_type="bf16", milliseconds=100.0, kind="convolution"):
    name = {Family.AMX: "brgconv:avx10_1_512_amx"}.get(family, f"jit:{family}")
    return KernelUse(kind, name, family, 10, milliseconds, data_type)


def reports(isa):
    return dict.fromkeys(("ipex", "ipex-onednn"), isa.spec.aten.upper()) | {"torch": "AVX512"}


BF16_AMX = case(Precision.BF16, Isa.AMX)
AMX_PROOF = Evidence(
    Isa.AMX, Jail.NOT_ASKED, True, "isa", (kernel(),), 150.0, read_back=reports(Isa.AMX)
)
FP32 = case(Precision.FP32, Isa.AVX512)
FP32_PROOF = Evidence(
    Isa.AVX512,
    Jail.HELD,
    False,
    "isa",
    (kernel(Family.AVX512, "f32"),),
    150.0,
    read_back=reports(Isa.AVX512),
)


def changed(evidence, **fields):
    return msgspec.structs.replace(evidence, **fields)


@pytest.mark.parametrize(
    ("run_case", "evidence"),
    [
        (BF16_AMX, AMX_PROOF),
        (FP32, FP32_PROOF),
        # IPEX computes FP32 linear layers in an MKL of its own, whose log is off.
        (FP32, changed(FP32_PROOF, kernels=())),
        (
            case(Precision.INT8, Isa.AVX512_VNNI),
            changed(
                FP32_PROOF,
                isa=Isa.AVX512_VNNI,
                kernels=(kernel(Family.AVX512_VNNI, "u8", kind="matmul"),),
                read_back=reports(Isa.AVX512_VNNI),
            ),
        ),
        (FP32, changed(FP32_PROOF, read_back={"onednn": "AVX512_CORE", "mkl": "AVX512"})),
        (BF16_AMX, changed(AMX_PROOF, read_back={"onednn": "AMX", "mkl": "AVX512_E2"})),
        (FP32, changed(FP32_PROOF, read_back={"mkl": "Intel(R) Architecture processors"})),
        # A first layer left in FP32, and a reorder, are no found.
        (
            BF16_AMX,
            changed(
                AMX_PROOF,
                kernels=(kernel(), kernel(Family.AVX512, "f32", 20.0),
                         kernel(Family.AVX512, "f32", 500.0, kind="reorder")),
            ),
        ),
    ],
    ids=[
        "bf16 amx",
        "fp32",
        "fp32 in mkl",
        "int8 vnni",
        "at their ceilings",
        "mkl below its ceiling",
        "mkl names no level",
        "a layer in fp32",
    ],
)  # fmt: skip
def test_good_evidence_leaves_no_found(run_case, evidence):
    assert why_unproven(run_case, evidence, 0.5) is None


@pytest.mark.parametrize(
    ("run_case", "evidence", "reason"),
    [
        (BF16_AMX, None, "no evidence"),
        # The published mistake: the variable was changed inside the process, after first use.
        (
            BF16_AMX,
            changed(AMX_PROOF, read_back=reports(Isa.AVX512_BF16)),
            "ipex reports AVX512_BF16 where ATEN_CPU_CAPABILITY asked for AMX",
        ),
        # Libraries behind every engine: oneDNN must stand at its ceiling, MKL not above it.
        (
            BF16_AMX,
            changed(AMX_PROOF, read_back={"onednn": "AVX512_CORE_BF16"}),
            "onednn reports AVX512_CORE_BF16 where ONEDNN_MAX_CPU_ISA asked for AMX",
        ),
        (
            FP32,
            changed(FP32_PROOF, read_back={"mkl": "AVX512_E3"}),
            "mkl reports AVX512_E3 where MKL_ENABLE_INSTRUCTIONS asked for AVX512",
        ),
        (
            BF16_AMX,
            changed(AMX_PROOF, kernels=(kernel(Family.AVX512_BF16),)),
            "0% of the matrix primitives' time was on AMX",
        ),
        (BF16_AMX, changed(AMX_PROOF, kernels=()), "most time: none logged"),
        (BF16_AMX, changed(AMX_PROOF, amx_permission=False), "without the kernel's tile"),
        # An arm that silently runs FP32.
        (
            case(Precision.BF16, Isa.AVX512_BF16),
            changed(FP32_PROOF, read_back=reports(Isa.AVX512_BF16)),
            "100% of the matrix primitives' time was not in bf16",
        ),
        (
            BF16_AMX,
            changed(AMX_PROOF, kernels=(kernel(data_type="f32"),)),
            "was not in bf16",
        ),
        # A baseline whose math mode lets FP32 products run as BF16.
        (
            FP32,
            changed(FP32_PROOF, kernels=(kernel(Family.AVX512, "f32/fpm:bf16", 1.0),
                                         kernel(Family.AVX512, "f32", 99.0))),
            "1% of the matrix primitives' time was not in fp32.*f32/fpm:bf16",
        ),
        # A jail that is not there.
        (FP32, changed(FP32_PROOF, jail=Jail.UNAVAILABLE, amx_permission=True), "not be jailed"),
        (FP32, changed(FP32_PROOF, jail=Jail.NOT_ASKED, amx_permission=True), "held the tile"),
        (FP32, changed(FP32_PROOF, jail=Jail.HELD, amx_permission=None), "does not say"),
    ],
    ids=[
        "none",
        "ceiling changed inside the process",
        "onednn below its ceiling",
        "mkl above its ceiling",
        "no amx kernel",
        "no kernel",
        "no permission",
        "silently fp32",
        "amx on fp32",
        "fp32 as bf16",
        "no jail to be had",
        "no jail asked for",
        "unknown permission",
    ],
)  # fmt: skip
def test_bad_evidence_is_named(run_case, evidence, reason):
    found = why_unproven(run_case, evidence, 0.5)
    assert found is not None
    assert re.search(reason, found.reason)
    assert found.remedy


def test_the_share_is_the_gates_own():
    mixed = changed(
        AMX_PROOF, kernels=(kernel(milliseconds=70), kernel(Family.AVX512_BF16, milliseconds=30))
    )
    assert why_unproven(BF16_AMX, mixed, 0.5) is None
    assert why_unproven(BF16_AMX, mixed, 0.7) is not None


def test_what_no_primitive_covers_is_unseen():
    graph = kernel(kind="graph:quantized_conv", milliseconds=90)
    evidence = changed(AMX_PROOF, kernels=(kernel(milliseconds=60), graph), step_milliseconds=120)
    assert evidence.unseen_share == pytest.approx(0.5)
    assert changed(evidence, step_milliseconds=10).unseen_share == 0
