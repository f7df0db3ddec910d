"""Evidence that proves an arm, and every way in which evidence fails to."""

import re

import msgspec
import pytest
from fake_trial import RESNET, SHAPE

from amx_suite.core.case import Arm
from amx_suite.core.evidence import Evidence, Family, Jail, KernelUse
from amx_suite.core.isa import Isa
from amx_suite.core.precision import Precision
from amx_suite.core.verdict import Verdict
from amx_suite.trial.unproven import judge_operator, why_unproven

pytestmark = pytest.mark.selftest


def case(precision, isa):
    return Arm(RESNET, "ipex", precision, isa, SHAPE, cores=2)


def kernel(family=Family.AMX, data_type="bf16", operations=100, kind="convolution"):
    """With a time that says nothing of its operations."""
    names = {Family.AMX: "brgconv:avx10_1_512_amx", Family.REFERENCE: "ref:any"}
    name = names.get(family, f"jit:{family}")
    return KernelUse(kind, name, family, 10, 1e4 / (operations + 1), data_type, operations)


def fp32_kernel(operations, data_type="f32", **more):
    return kernel(Family.AVX512, data_type, operations, **more)


def reports(isa):
    return dict.fromkeys(("ipex", "ipex-onednn"), isa.spec.aten.upper()) | {"torch": "AVX512"}


def proof(run_case, kernels=None, **fields):
    """Sound evidence of FP32 or AMX, changed in these fields."""
    isa = run_case.isa.on(Isa.AVX512.spec.cpu_flags)
    if kernels is None:
        kernels = (kernel() if isa.allows_amx else fp32_kernel(100),)
    jail = Jail.NOT_ASKED if isa.allows_amx else Jail.HELD
    sound = Evidence(isa, jail, isa.allows_amx, "isa", kernels, 100, 150.0, read_back=reports(isa))
    return msgspec.structs.replace(sound, **fields)


AMX = case(Precision.BF16, Isa.AMX)
FP32 = case(Precision.FP32, Isa.NO_AMX)
VNNI = case(Precision.INT8, Isa.AVX512_VNNI)
BF16 = case(Precision.BF16, Isa.AVX512_BF16)
FP16 = case(Precision.FP16, Isa.AVX512_FP16)
FP16_AMX = case(Precision.FP16, Isa.AMX_FP16)
#: What oneDNN runs of FP16 where the CPU has AVX-512 FP16 (oneDNN issue 3868).
VECTOR_FP16 = KernelUse("matmul", "brg_matmul:avx10_1_512", Family.AVX512_FP16, 1, 1, "f16", 100)

GOOD = {
    "bf16 amx": (AMX, {}),
    "fp32": (FP32, {}),
    # IPEX computes FP32 linear layers in an MKL of its own, whose log is off.
    "fp32 in mkl": (FP32, {"kernels": ()}),
    "int8 vnni": (VNNI, {"kernels": (kernel(Family.AVX512_VNNI, "u8", kind="matmul"),)}),
    "fp16 without amx": (FP16, {"kernels": (VECTOR_FP16,)}),
    "fp16 amx": (FP16_AMX, {"kernels": (kernel(data_type="f16"),)}),
    "at their ceilings": (FP32, {"read_back": {"onednn": "AVX512_CORE", "mkl": "AVX512"}}),
    "without amx on a cpu of today": (
        FP32,
        {"isa": Isa.AVX2, "read_back": {"onednn": "AVX2", "mkl": "AVX2"}},
    ),
    "mkl below its ceiling": (AMX, {"read_back": {"onednn": "AMX", "mkl": "AVX512_E2"}}),
    "mkl names no level": (FP32, {"read_back": {"mkl": "Intel(R) Architecture processors"}}),
    "a hundredth on a reference kernel": (
        AMX,
        {"kernels": (kernel(operations=99), kernel(Family.REFERENCE, operations=1))},
    ),
    # A recipe may leave a first layer in FP32.
    "a layer in fp32": (
        AMX,
        {"kernels": (kernel(), fp32_kernel(5), fp32_kernel(500, kind="reorder"))},
    ),
}

BAD = {
    # The published mistake: the variable was changed inside the process, after first use.
    "ceiling changed inside the process": (
        AMX,
        {"read_back": reports(Isa.AVX512_BF16)},
        "ipex reports AVX512_BF16 where ATEN_CPU_CAPABILITY asked for AMX",
    ),
    # Libraries behind every engine: oneDNN must report its ceiling, MKL none above it.
    "onednn below its ceiling": (
        AMX,
        {"read_back": {"onednn": "AVX512_CORE_BF16"}},
        "onednn reports AVX512_CORE_BF16 where ONEDNN_MAX_CPU_ISA asked for AMX",
    ),
    # Known-bad: a baseline that is slower than the CPU allows makes AMX look fast.
    "fp32 below what the cpu has": (
        FP32,
        {"read_back": {"onednn": "AVX2"}},
        "onednn reports AVX2 where ONEDNN_MAX_CPU_ISA asked for AVX512_CORE",
    ),
    "mkl above its ceiling": (
        FP32,
        {"read_back": {"mkl": "AVX512_E3"}},
        "mkl reports AVX512_E3 where MKL_ENABLE_INSTRUCTIONS asked for AVX512",
    ),
    "no amx kernel": (
        AMX,
        {"kernels": (kernel(Family.AVX512_BF16),)},
        "0% of the step's operations were on AMX",
    ),
    "attention only": (
        AMX,
        {
            "kernels": (
                kernel(operations=3, kind="matmul"),
                kernel(Family.AVX512_BF16, operations=97),
            )
        },
        "3% of the step's operations were on AMX",
    ),
    "reference kernels": (
        AMX,
        {"kernels": (kernel(Family.REFERENCE),)},
        "100% of the step's operations were on oneDNN's reference.*convolution ref:any bf16",
    ),
    # Known-bad: such a baseline makes AMX look a hundred times faster than it is.
    # PyTorch issue 193951: FP16 products of torch 2.14.
    "fp16 on a reference kernel": (
        FP16,
        {"kernels": (kernel(Family.REFERENCE, "f16", kind="matmul"),)},
        "100% of the step's operations were on oneDNN's reference.*: matmul ref:any f16",
    ),
    # PyTorch issue 150514: FP16 convolutions of torch 2.7 on a CPU with AMX-FP16.
    "fp16 amx on a reference kernel": (
        FP16_AMX,
        {"kernels": (kernel(Family.REFERENCE, "f16"),)},
        "100% of the step's operations were on oneDNN's reference.*convolution ref:any f16",
    ),
    "fp16 amx without tiles": (
        FP16_AMX,
        {"kernels": (VECTOR_FP16,)},
        "0% of the step's operations were on AMX.*matmul brg_matmul:avx10_1_512 f16",
    ),
    "fp16 as fp32": (
        FP16,
        {"kernels": (fp32_kernel(100),)},
        "0% of the step's operations were logged in fp16.*convolution jit:avx512 f32",
    ),
    "fp16 as bf16": (
        FP16_AMX,
        {"kernels": (kernel(),)},
        "logged in others: convolution brgconv:avx10_1_512_amx bf16",
    ),
    # Below AVX-512 FP16 PyTorch computes FP16 in loops of its own, which no log sees.
    "fp16 in loops of pytorch": (FP16, {"kernels": ()}, "logged in others: none logged"),
    "fp32 layer on a reference kernel": (
        FP32,
        {"kernels": (fp32_kernel(98), kernel(Family.REFERENCE, "f32", 2))},
        "2% of the step's operations were on oneDNN's reference.*ref:any f32",
    ),
    "a log cut short": (
        AMX,
        {"kernels": (kernel(operations=40),)},
        "40% of the step's operations were on AMX",
    ),
    "a log of another model": (
        AMX,
        {"kernels": (kernel(operations=120),)},
        "holds 120 operations, and a step of this model has 100",
    ),
    "operations not counted": (AMX, {"operations": 0}, "it is not the log of one step"),
    "no kernel": (AMX, {"kernels": ()}, "most operations: none logged"),
    "no permission": (AMX, {"amx_permission": False}, "without the kernel's tile"),
    "silently fp32": (BF16, {}, "0% of the step's operations were logged in bf16.*jit:avx512 f32"),
    "amx on fp32": (AMX, {"kernels": (kernel(data_type="f32"),)}, "were logged in bf16"),
    # Known-bad: where nothing is logged BF16 may have been FP32 all the time.
    "nothing logged": (BF16, {"kernels": ()}, "logged in bf16.*logged in others: none logged"),
    "half of it logged": (
        VNNI,
        {"kernels": (kernel(Family.AVX512_VNNI, "u8", 50),)},
        "50% of the step's operations were logged in int8",
    ),
    # A math mode lets FP32 products run as BF16.
    "fp32 as bf16": (
        FP32,
        {"kernels": (fp32_kernel(1, "f32/fpm:bf16"), fp32_kernel(99))},
        "1% of the logged operations were not in fp32.*f32/fpm:bf16",
    ),
    "jail unavailable": (
        FP32,
        {"jail": Jail.UNAVAILABLE, "amx_permission": True},
        "not be jailed",
    ),
    "no jail": (FP32, {"jail": Jail.NOT_ASKED, "amx_permission": True}, "held the tile"),
    "unknown permission": (FP32, {"amx_permission": None}, "does not say"),
}


@pytest.mark.parametrize(("run_case", "fields"), GOOD.values(), ids=GOOD)
def test_good_evidence_proves_the_arm(run_case, fields):
    assert why_unproven(run_case, proof(run_case, **fields), 0.5) is None


@pytest.mark.parametrize(("run_case", "fields", "reason"), BAD.values(), ids=BAD)
def test_bad_evidence_is_refused_with_reason(run_case, fields, reason):
    found = why_unproven(run_case, proof(run_case, **fields), 0.5)
    assert re.search(reason, found.reason)
    assert found.remedy


def test_a_gate_sets_the_least_share():
    mixed = proof(AMX, (kernel(operations=70), kernel(Family.AVX512_BF16, operations=30)))
    assert why_unproven(AMX, mixed, 0.5) is None
    assert why_unproven(AMX, mixed, 0.7) is not None


def test_time_outside_primitives_is_unseen():
    kernels = (kernel(), kernel(kind="graph:quantized_conv"))
    spent = kernels[0].milliseconds
    assert proof(AMX, kernels, step_milliseconds=2 * spent).unseen_share == pytest.approx(0.5)
    assert proof(AMX, kernels, step_milliseconds=spent / 2).unseen_share == 0


MKL_CALL = KernelUse("matmul", "mkl:gemm_bf16bf16f32", Family.UNNAMED, 24, 1.0, "bf16")
MICROKERNEL = KernelUse("brgemm", "", Family.UNNAMED, 60, 1.0, "bf16")
GEMM_CALL = KernelUse("matmul", "gemm:jit:bf16", Family.UNNAMED, 1, 1.0, "bf16")


@pytest.mark.parametrize(
    ("precision", "kernels", "verdict"),
    [
        (Precision.BF16, [], Verdict.NOT_APPLICABLE),
        (Precision.BF16, [MKL_CALL, MICROKERNEL], Verdict.NOT_APPLICABLE),
        (Precision.BF16, [kernel(Family.AVX512, kind="reorder")], Verdict.NOT_APPLICABLE),
        # The recipe did not quantize this one.
        (Precision.INT8, [fp32_kernel(9)], Verdict.NOT_APPLICABLE),
        # Autocast must not leave it in FP32.
        (Precision.BF16, [fp32_kernel(9)], Verdict.NO_EVIDENCE),
        (Precision.BF16, [kernel(Family.AVX512_BF16)], Verdict.NO_EVIDENCE),
        (Precision.BF16, [GEMM_CALL], Verdict.NO_EVIDENCE),
        (Precision.INT8, [kernel(Family.AVX512_VNNI, "u8")], Verdict.NO_EVIDENCE),
        (Precision.BF16, [kernel(Family.AVX512_BF16), MKL_CALL, kernel()], Verdict.PASS),
        (Precision.INT8, [kernel(data_type="s8")], Verdict.PASS),
    ],
)
def test_operator_passes_with_amx_kernel(precision, kernels, verdict):
    assert judge_operator("it", precision, kernels).verdict is verdict
