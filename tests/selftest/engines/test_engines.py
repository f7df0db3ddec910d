"""What engines say of themselves, without importing anything heavy."""

import subprocess
import sys

import pytest

from amx_suite.core.case import Mode
from amx_suite.core.isa import Isa
from amx_suite.core.precision import Precision
from amx_suite.core.trial import arms_of
from amx_suite.engines import ENGINES, REFERENCE, engine_for, inductor
from amx_suite.errors import EngineUnavailableError, NotApplicableError, UnknownNameError

pytestmark = pytest.mark.selftest

IPEX, EAGER, INDUCTOR = (ENGINES[name] for name in ("ipex", "eager", "inductor"))


def test_unknown_engine_names_the_nearest():
    with pytest.raises(UnknownNameError, match="Did you mean 'ipex'"):
        engine_for("ipx", Precision.FP64)


@pytest.mark.parametrize("name", ENGINES)
def test_fp64_belongs_to_the_reference(name):
    assert ENGINES[name].name == name
    assert engine_for(name, Precision.FP64) is REFERENCE
    assert engine_for(name, Precision.BF16) is ENGINES[name]
    assert "reference" in ENGINES[name].why_not(Mode.INFERENCE, Precision.FP64)
    assert REFERENCE.why_not(Mode.INFERENCE, Precision.BF16) is not None
    assert REFERENCE.why_not(Mode.TRAINING, Precision.FP64) is None


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
def test_all_arms_with_torch_2_8(engine, installed):
    installed(torch="2.8.0")
    for mode in Mode:
        lacking = {p for p, _ in arms_of(mode) if engine.why_not(mode, p)}
        fp16_on_ipex = engine is IPEX and mode is Mode.INFERENCE
        assert lacking == ({Precision.FP16} if fp16_on_ipex else set())
    assert "no INT8 training" in engine.why_not(Mode.TRAINING, Precision.INT8)


@pytest.mark.parametrize("engine", [EAGER, INDUCTOR], ids=["eager", "inductor"])
def test_fp16_on_reference_kernels_is_refused(engine, installed):
    for version, lacks in (("2.13.0", False), ("2.14.0+cpu", True), ("2.15.0", False)):
        installed(torch=version)
        reason = engine.why_not(Mode.INFERENCE, Precision.FP16)
        assert ("reference kernel" in (reason or "")) is lacks
        assert engine.why_not(Mode.INFERENCE, Precision.BF16) is None


@pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES)
def test_unavailable_without_torch(engine, installed):
    installed(intel_extension_for_pytorch="2.8.0")
    with pytest.raises(EngineUnavailableError, match=r"PyTorch is not installed: .*pip install"):
        engine.require(Mode.INFERENCE, Precision.FP32)


@pytest.mark.parametrize("isa", [isa for isa in Isa if isa is not Isa.NO_AMX])
def test_libraries_get_the_ceiling_they_know(isa):
    stock = "avx2" if isa is Isa.AVX2 else "avx512"
    for engine, word in ((IPEX, isa.spec.aten), (EAGER, stock), (INDUCTOR, stock)):
        assert engine.variables(isa)["ATEN_CPU_CAPABILITY"] == word
        expected = (word.upper(), "ATEN_CPU_CAPABILITY")
        assert expected in engine.ceilings(isa).values()
    assert ("inductor" in INDUCTOR.ceilings(isa)) is not isa.allows_amx


@pytest.mark.parametrize(
    ("packages", "reason"),
    [
        ({"torch": "2.8.0+cpu", "intel_extension_for_pytorch": "2.8.0"}, None),
        ({"torch": "2.80.0", "intel_extension_for_pytorch": "2.8.0"}, "found torch 2.80.0"),
        ({"torch": "2.8.0"}, "Extension for PyTorch is not installed"),
    ],
)
def test_ipex_needs_its_own_torch(installed, packages, reason):
    installed(**packages)
    found = IPEX.why_unavailable()
    if reason is None:
        assert found is None
    else:
        assert reason in found
        assert "pip install 'amx-suite[ipex]'" in found


@pytest.mark.parametrize("torch", ["2.9.0", "2.15.0+cu132", "3.0.0"])
def test_no_eager_int8_after_torch_2_8(installed, torch):
    installed(torch=torch, torchao="0.18.0")
    with pytest.raises(NotApplicableError, match=r"ref_int8.*use engine inductor"):
        EAGER.require(Mode.INFERENCE, Precision.INT8)
    assert EAGER.why_not(Mode.INFERENCE, Precision.BF16) is None


@pytest.mark.parametrize("torch", ["2.9.0", "2.15.0+cu132", "3.0.0"])
def test_no_inductor_int8_without_torchao(installed, torch):
    installed(torch=torch)
    reason = INDUCTOR.why_not(Mode.INFERENCE, Precision.INT8)
    assert reason.startswith(f"torch {torch} has no quantizer of its own")
    assert reason.endswith("pip install 'amx-suite[stock]'")
    assert INDUCTOR.why_not(Mode.INFERENCE, Precision.BF16) is None
    installed(torch=torch, torchao="0.18.0")
    assert INDUCTOR.why_not(Mode.INFERENCE, Precision.INT8) is None


def test_inductor_needs_compiler_and_headers(monkeypatch, tmp_path, installed):
    installed(torch="2.8.0")
    monkeypatch.setattr(inductor, "holds_programs", lambda folder: True)
    monkeypatch.setattr(inductor.sysconfig, "get_path", lambda name: str(tmp_path))
    monkeypatch.setenv("CXX", sys.executable)
    assert "apt-get install python3-dev" in INDUCTOR.why_unavailable()
    (tmp_path / "Python.h").touch()
    assert INDUCTOR.why_unavailable() is None
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert "no compiler 'no-such-compiler' on PATH: install g++" in INDUCTOR.why_unavailable()
    monkeypatch.setenv("CXX", "/gone/g++")
    assert "no compiler '/gone/g++': install g++" in INDUCTOR.why_unavailable()


def test_compiled_code_is_never_shared(monkeypatch, tmp_path, installed):
    """Another ceiling, CPU or version of PyTorch has another folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(inductor, "holds_programs", lambda folder: True)

    def folders():
        return [INDUCTOR.variables(isa)["TORCHINDUCTOR_CACHE_DIR"] for isa in Isa]

    installed(torch="2.8.0")
    found = folders()
    installed(torch="2.15.0")
    found += folders()
    other = inductor.read_cpuinfo().__class__(flags=("avx512f",))
    monkeypatch.setattr(inductor, "read_cpuinfo", lambda: other)
    found += folders()
    assert len(set(found)) == 3 * len(Isa)
    assert all(folder.startswith(str(tmp_path / "amx-suite")) for folder in found)


def test_an_unusable_cache_is_not_set(monkeypatch, installed):
    """Inductor then takes a folder in the child's own."""
    installed(torch="2.8.0")
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/self")
    assert "TORCHINDUCTOR_CACHE_DIR" not in INDUCTOR.variables(Isa.AMX)
    monkeypatch.setattr(inductor, "holds_programs", lambda folder: "proc" not in str(folder))
    monkeypatch.setattr(inductor.shutil, "which", lambda name: sys.executable)
    monkeypatch.setattr(inductor.Path, "is_file", lambda self: True)
    assert INDUCTOR.why_unavailable() is None
    monkeypatch.setattr(inductor, "holds_programs", lambda folder: False)
    assert "XDG_CACHE_HOME" in INDUCTOR.why_unavailable()
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tempfile._candidate_tempdir_list", lambda: ["/nowhere/at/all"])
    assert "name one in TMPDIR" in INDUCTOR.why_unavailable()


def test_nothing_heavy_is_imported():
    code = (
        "import sys, amx_suite.workloads, amx_suite.accuracy\n"
        "from amx_suite.core.case import Mode\n"
        "from amx_suite.core.precision import Precision\n"
        "from amx_suite.engines import ENGINES\n"
        "for engine in ENGINES.values():\n"
        "    engine.why_unavailable(), engine.why_not(Mode.INFERENCE, Precision.INT8)\n"
        "heavy = {'torch', 'torchao', 'numpy', 'transformers', 'torchvision', 'safetensors'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
