"""AMX-FP8 as an example: two ceilings and a precision are rows, and everything follows."""

import sys

import msgspec
import pytest
from fake_trial import RESNET, SHAPE

from amx_suite.accuracy.limits import TOLERANCES, Rounding, Tolerances
from amx_suite.core.agreement import Threshold
from amx_suite.core.case import Mode
from amx_suite.core.evidence import Jail
from amx_suite.core.gate import Versus
from amx_suite.core.isa import AMX_FLAGS, ISA_SPECS, Isa, IsaSpec
from amx_suite.core.precision import PRECISIONS, Precision, PrecisionSpec
from amx_suite.core.trial import Trial, arms_of, ceilings
from amx_suite.core.units import Unit
from amx_suite.core.verdict import Verdict
from amx_suite.engines import ENGINES
from amx_suite.engines.eager import Eager
from amx_suite.errors import NotApplicableError
from amx_suite.gates.loader import load_gates
from amx_suite.host.cpuinfo import CpuInfo
from amx_suite.trial.unproven import why_unproven
from amx_suite.trial.whole_machine import whole_machine_cases
from amx_suite.worker import handler
from amx_suite.worker.process import Prepare
from amx_suite.workloads import WORKLOADS

pytestmark = pytest.mark.selftest

AVX10_FLAGS = (*Isa.AVX512_BF16.spec.cpu_flags, "avx10_2")
ROWS = {
    "avx10_2": IsaSpec("AVX10_2_512", "avx512_bf16", "AVX512_E3", AVX10_FLAGS),
    "amx_fp8": IsaSpec(
        "AVX10_2_512_AMX_2",
        "amx",
        "AVX512_E5",
        (*AVX10_FLAGS, *AMX_FLAGS, "amx_fp8"),
        tiles=True,
    ),
}
GATES = """
[[gate]]
mode = "inference"
model = "resnet50"
precision = "fp8"
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
def fp8(monkeypatch):
    isas = [add(monkeypatch, Isa, value) for value in ROWS]
    for isa in isas:
        monkeypatch.setitem(ISA_SPECS, isa, ROWS[isa])
    fp8 = add(monkeypatch, Precision, "fp8")
    row = PrecisionSpec(*isas, ("f8_e5m2",), Unit.TILE, autocast="float8_e5m2", trains=False)
    monkeypatch.setitem(PRECISIONS, fp8, row)
    near = Rounding(0.125, 1e-3, "made up")
    tolerances = Tolerances(3, Threshold(10.0, "made up"), rounding=near)
    monkeypatch.setitem(TOLERANCES, fp8, tolerances)
    return fp8


@pytest.fixture
def result(fp8, make_session, world, tmp_path):
    """The full trial with gates on FP8, on a machine that has it."""
    path = tmp_path / "gates.toml"
    path.write_text(GATES)
    world.seconds.update({"fp8@avx10_2": 0.8, "fp8@amx_fp8": 0.16})
    trial = Trial.of(RESNET, "inductor", SHAPE, cores=2)
    return make_session(load_gates(path), trial=trial).result()


def test_arms_and_ceilings_follow_from_rows(fp8):
    without, with_amx = fp8.spec.isas
    assert arms_of(Mode.INFERENCE)[-2:] == ((fp8, without), (fp8, with_amx))
    assert fp8 not in dict(arms_of(Mode.TRAINING))
    assert {without, with_amx} <= set(ceilings())
    assert (without.allows_amx, with_amx.allows_amx) == (False, True)
    for engine in ENGINES.values():
        assert engine.variables(with_amx)["ATEN_CPU_CAPABILITY"] in ("amx", "avx512")
        assert "FP8 training" in engine.why_not(Mode.TRAINING, fp8)
    lacking = {name for name, each in ENGINES.items() if each.why_not(Mode.INFERENCE, fp8)}
    assert lacking == {"ipex"}
    assert "no FP8" in ENGINES["ipex"].why_not(Mode.INFERENCE, fp8)


def test_stand_in_only_where_cpu_lacks_vnni():
    avx2 = (Precision.INT8, Isa.AVX2)
    vnni = Isa.AVX512_VNNI.spec.cpu_flags
    assert arms_of(Mode.INFERENCE, ("avx2", "fma"))[-1] == avx2
    assert arms_of(Mode.INFERENCE, ("avx2", "fma", "avx512f"))[-1] == avx2
    for flags in ((), ("sse4_2",), ("avx2", "fma", *vnni)):
        assert avx2 not in arms_of(Mode.INFERENCE, flags)
    assert avx2 not in arms_of(Mode.TRAINING, ("avx2", "fma"))


def test_gates_judge_the_new_arm(fp8, result):
    arms = {facts.case.id: facts.case.arm for facts in result.measurement.arms}
    found = {
        (gate.gate.versus, arms[gate.candidate_id], arms[gate.baseline_id]): gate.verdict
        for gate in result.gates
        if gate.gate.precision is fp8
    }
    assert found == {
        (Versus.FP32, "fp8@amx_fp8", "fp32@no_amx"): Verdict.PASS,
        (Versus.NO_AMX, "fp8@amx_fp8", "fp8@avx10_2"): Verdict.PASS,
    }


def test_evidence_of_other_precisions_proves_nothing(result):
    arms = {facts.case.arm: facts for facts in result.measurement.arms}
    fp8, bf16 = arms["fp8@amx_fp8"], arms["bf16@amx"]
    assert why_unproven(fp8.case, fp8.evidence, 0.5) is None
    claimed = msgspec.structs.replace(fp8.evidence, kernels=bf16.evidence.kernels)
    assert "were logged in fp8" in why_unproven(fp8.case, claimed, 0.5).reason


def test_a_cpu_without_it_skips_its_arms(fp8, monkeypatch):
    sapphire_rapids = CpuInfo(flags=(*Isa.AMX.spec.cpu_flags, "avx10_2"))
    monkeypatch.setattr(handler, "read_cpuinfo", lambda: sapphire_rapids)
    without, with_amx = fp8.spec.isas
    handler.require_vectors(without)
    with pytest.raises(NotApplicableError, match="lacks amx_fp8"):
        handler.require_vectors(with_amx)


def test_what_is_lacking_is_told_without_torch(fp8, monkeypatch):
    """PyTorch takes seconds to import, in each child of an arm that cannot run."""
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setattr(handler, "read_cpuinfo", lambda: CpuInfo(flags=Isa.AMX.spec.cpu_flags))
    monkeypatch.setattr(Eager, "why_unavailable", lambda self: None)
    trial = Trial.of(RESNET, "eager", SHAPE, cores=1)
    case = next(arm for arm in trial.arms if arm.precision is fp8)
    with pytest.raises(NotApplicableError, match="lacks avx10_2"):
        handler.ArmHandler(Jail.HELD).handle(Prepare(case), {})


def test_whole_machine_keeps_to_precisions_of_every_amx(fp8):
    workload = WORKLOADS["resnet50"]
    shape = workload.shapes[Mode.INFERENCE, 4]
    cases = whole_machine_cases([Trial.of(RESNET, "inductor", shape, cores=1)])
    assert {case.precision for case in cases} == {Precision.BF16, Precision.INT8}
