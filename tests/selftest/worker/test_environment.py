"""A child's environment: what the case says, nothing of the user's by accident."""

import pytest

from amx_suite.core.case import Precision
from amx_suite.core.isa import Isa
from amx_suite.engines import ENGINES
from amx_suite.worker.environment import child_environment

pytestmark = pytest.mark.selftest

HOSTILE = {
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "DNNL_MAX_CPU_ISA": "SSE41",
    "ATEN_CPU_CAPABILITY": "default",
    "ONEDNN_DEFAULT_FPMATH_MODE": "BF16",
    "OMP_NUM_THREADS": "64",
    "KMP_AFFINITY": "compact",
    "LD_PRELOAD": "/nowhere/libother.so",
    "MKL_CBWR": "COMPATIBLE",
    "TORCH_COMPILE_DISABLE": "1",
    "TORCHDYNAMO_DISABLE": "1",
    "TORCHINDUCTOR_MAX_AUTOTUNE": "1",
}


@pytest.mark.parametrize(
    ("isa", "onednn", "mkl"),
    [
        (Isa.AVX2, "AVX2", "AVX2"),
        (Isa.AVX512, "AVX512_CORE", "AVX512"),
        (Isa.AVX512_VNNI, "AVX512_CORE_VNNI", "AVX512_E2"),
        (Isa.AVX512_BF16, "AVX512_CORE_BF16", "AVX512_E3"),
        (Isa.AMX, "DEFAULT", "AVX512_E4"),
    ],
)
def test_each_ceiling_is_told_to_each_library(isa, onednn, mkl):
    chosen = child_environment(isa, 2, {}, ENGINES["ipex"].variables(isa)).chosen
    assert chosen["ONEDNN_MAX_CPU_ISA"] == onednn
    assert chosen["MKL_ENABLE_INSTRUCTIONS"] == mkl
    assert chosen["ATEN_CPU_CAPABILITY"] == isa.value
    assert chosen["ONEDNN_DEFAULT_FPMATH_MODE"] == "STRICT"
    assert chosen["OMP_NUM_THREADS"] == "2"
    assert chosen["OMP_WAIT_POLICY"] == "PASSIVE"


def test_the_users_own_values_are_recorded_and_not_inherited():
    made = child_environment(Isa.AVX512_BF16, 1, {**HOSTILE, "PATH": "/bin"}, {"ATEN_X": "y"})
    assert made.removed == HOSTILE
    assert made.variables == {"PATH": "/bin", **made.chosen}
    assert made.chosen["ATEN_X"] == "y"


def test_the_child_really_has_that_environment(start_fake):
    worker = start_fake(Isa.AVX512_BF16, inherited={**HOSTILE, "PATH": "/bin"})
    text = worker.operate("environment", Precision.FP32, {}).tobytes().decode()
    found = dict(line.split("=", 1) for line in text.splitlines())
    expected = child_environment(Isa.AVX512_BF16, 1, {}, {}).chosen
    assert {name: found.get(name) for name in expected} == expected
    assert "DNNL_MAX_CPU_ISA" not in found
    assert "LD_PRELOAD" not in found
    assert worker.environment.removed == HOSTILE
