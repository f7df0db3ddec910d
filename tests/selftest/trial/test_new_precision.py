"""AMX-FP16 as an example: two ceilings and a precision are rows, and everything follows."""

import msgspec
import pytest

from amx_suite.accuracy.limits import TOLERANCES, Rounding, Tolerances
from amx_suite.core.agreement import Threshold
from amx_suite.core.case import Mode
from amx_suite.core.gate import Versus
from amx_suite.core.isa import AMX_FLAGS, ISA_SPECS, Isa, IsaSpec
from amx_suite.core.precision import PRECISIONS, Precision, PrecisionSpec
from amx_suite.core.trial import arms_of, ceilings
from amx_suite.core.units import Unit
from amx_suite.core.verdict import Verdict
from amx_suite.engines import ENGINES
from amx_suite.errors import NotApplicableError
from amx_suite.gates.loader import load_gates
from amx_suite.host.cpuinfo import CpuInfo
from amx_suite.trial.unproven import why_unproven
from amx_suite.worker import handler

pytestmark = pytest.mark.selftest

FP16_FLAGS = (*Isa.AVX512_BF16.spec.cpu_flags, "avx512_fp16")
ROWS = {
    "avx512_fp16": IsaSpec("AVX512_CORE_FP16", "avx512_fp16", "AVX512_E4", FP16_FLAGS),
    "amx_fp16": IsaSpec(
        "DEFAULT",
        "amx_fp16",
        "AVX512_E5",
        (*FP16_FLAGS, *AMX_FLAGS, "amx_fp16"),
        tiles=True,
    ),
}
GATES = """
[[gate]]
mode = "inference"
model = "resnet50"
precision = "fp16"
versus = ["fp32", "no-amx"]
shape = "b16x224"
minimum = 3.0
source = "made up"
"""


def add(monkeypatch, kind, value):
    """Add a member to an enumeration, as a line in its source would."""
    name = value.upper()
    member = str.__new__(kind, value)
    member._name_, member._value_ = name, value
    monkeypatch.setattr(kind, "_member_names_", [*kind._member_names_, name])
    monkeypatch.setitem(kind._member_map_, name, member)
    monkeypatch.setitem(kind._value2member_map_, value, member)
    return member


@pytest.fixture
def fp16(monkeypatch):
    isas = [add(monkeypatch, Isa, value) for value in ROWS]
    for isa in isas:
        monkeypatch.setitem(ISA_SPECS, isa, ROWS[isa])
    fp16 = add(monkeypatch, Precision, "fp16")
    row = PrecisionSpec(*isas, ("f16",), Unit.TILE, autocast="float16", trains=False)
    monkeypatch.setitem(PRECISIONS, fp16, row)
    near = Rounding(1e-3, 1e-5, "torch.testing.assert_close, default for float16")
    tolerances = Tolerances(11, Threshold(45.0, "made up"), rounding=near)
    monkeypatch.setitem(TOLERANCES, fp16, tolerances)
    return fp16


@pytest.fixture
def result(fp16, make_session, world, tmp_path):
    """The full trial with gates on FP16, on a machine that has it."""
    path = tmp_path / "gates.toml"
    path.write_text(GATES)
    world.seconds.update({"fp16@avx512_fp16": 0.8, "fp16@amx_fp16": 0.16})
    return make_session(load_gates(path)).result()


def test_arms_and_ceilings_follow_from_rows(fp16):
    without, with_amx = fp16.spec.isas
    assert arms_of(Mode.INFERENCE)[-2:] == ((fp16, without), (fp16, with_amx))
    assert fp16 not in dict(arms_of(Mode.TRAINING))
    assert {without, with_amx} <= set(ceilings())
    assert (without.allows_amx, with_amx.allows_amx) == (False, True)
    for engine in ENGINES.values():
        assert engine.variables(with_amx)["ATEN_CPU_CAPABILITY"] in ("amx_fp16", "avx512")
        assert engine.why_not(Mode.INFERENCE, fp16) is None
        assert "FP16" in engine.why_not(Mode.TRAINING, fp16)


def test_stand_in_only_where_cpu_lacks_vnni():
    avx2 = (Precision.INT8, Isa.AVX2)
    vnni = Isa.AVX512_VNNI.spec.cpu_flags
    assert arms_of(Mode.INFERENCE, ("avx2", "fma"))[-1] == avx2
    assert arms_of(Mode.INFERENCE, ("avx2", "fma", "avx512f"))[-1] == avx2
    for flags in ((), ("sse4_2",), ("avx2", "fma", *vnni)):
        assert avx2 not in arms_of(Mode.INFERENCE, flags)
    assert avx2 not in arms_of(Mode.TRAINING, ("avx2", "fma"))


def test_gates_judge_the_new_arm(fp16, result):
    arms = {facts.case.id: facts.case.arm for facts in result.measurement.arms}
    found = {
        (gate.gate.versus, arms[gate.candidate_id], arms[gate.baseline_id]): gate.verdict
        for gate in result.gates
        if gate.gate.precision is fp16
    }
    assert found == {
        (Versus.FP32, "fp16@amx_fp16", "fp32@no_amx"): Verdict.PASS,
        (Versus.NO_AMX, "fp16@amx_fp16", "fp16@avx512_fp16"): Verdict.PASS,
    }


def test_evidence_of_other_precisions_proves_nothing(result):
    arms = {facts.case.arm: facts for facts in result.measurement.arms}
    fp16, bf16 = arms["fp16@amx_fp16"], arms["bf16@amx"]
    assert why_unproven(fp16.case, fp16.evidence, 0.5) is None
    claimed = msgspec.structs.replace(fp16.evidence, kernels=bf16.evidence.kernels)
    assert "were logged in fp16" in why_unproven(fp16.case, claimed, 0.5).reason


def test_a_cpu_without_it_skips_its_arms(fp16, monkeypatch):
    sapphire_rapids = CpuInfo(flags=(*Isa.AMX.spec.cpu_flags, "avx512_fp16"))
    monkeypatch.setattr(handler, "read_cpuinfo", lambda: sapphire_rapids)
    without, with_amx = fp16.spec.isas
    handler.require_vectors(without)
    with pytest.raises(NotApplicableError, match="lacks amx_fp16"):
        handler.require_vectors(with_amx)
