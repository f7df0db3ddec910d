"""Stock PyTorch's engines: what they need and say, and small modules prepared for real."""

import importlib.metadata
import sys
from types import SimpleNamespace

import pytest

from amx_suite.core.case import Mode, Precision
from amx_suite.core.isa import Isa
from amx_suite.core.trial import arms_of
from amx_suite.engines import ENGINES, inductor
from amx_suite.engines.stock import upstream_limits
from amx_suite.errors import EngineUnavailableError, NotApplicableError

pytestmark = pytest.mark.selftest

EAGER, INDUCTOR = ENGINES["eager"], ENGINES["inductor"]
BOTH = pytest.mark.parametrize("engine", [EAGER, INDUCTOR], ids=lambda engine: engine.name)


@pytest.fixture
def torch_version(monkeypatch):
    """Have the packages' metadata name this version of torch, or none at all."""

    def install(found):
        def version(name):
            if name == "torch" and found is not None:
                return found
            raise importlib.metadata.PackageNotFoundError(name)

        monkeypatch.setattr(importlib.metadata, "version", version)

    return install


@BOTH
class TestBoth:
    def test_has_every_arm_and_no_int8_training(self, engine, torch_version):
        torch_version("2.8.0")
        for mode in Mode:
            for precision, _ in arms_of(mode):
                assert engine.why_not(mode, precision) is None
        assert "no INT8 training" in engine.why_not(Mode.TRAINING, Precision.INT8)

    def test_without_torch(self, engine, torch_version):
        torch_version(None)
        assert "pip install torch" in engine.why_unavailable()
        with pytest.raises(EngineUnavailableError, match="PyTorch is not installed"):
            engine.prepare_inference(None, (), Precision.FP32, ())

    def test_int8_needs_calibration_inputs(self, engine, torch_version):
        torch_version("2.8.0")
        with pytest.raises(NotApplicableError, match="calibration inputs"):
            engine.prepare_inference(None, (), Precision.INT8, ())

    def test_pytorchs_own_level_must_be_read_back(self, engine):
        assert engine.ceilings(Isa.AMX)["torch"] == ("AVX512", "ATEN_CPU_CAPABILITY")


class TestEager:
    @pytest.fixture
    def module(self):
        import torch

        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4))

    def test_fp32_is_the_module_itself(self, module):
        assert EAGER.prepare_inference(module.eval(), (), Precision.FP32, ()) is module

    def test_bf16_is_autocast(self, module):
        import torch

        x = torch.ones(2, 8)
        forward = EAGER.prepare_inference(module.eval(), (x,), Precision.BF16, ())
        assert forward(x).dtype is torch.bfloat16

    def test_training_keeps_names_and_gradients(self, module):
        import torch

        optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
        prepared = EAGER.prepare_training(module.train(), optimizer, Precision.BF16)
        with prepared.autocast():
            output = prepared.module(torch.ones(2, 8))
        assert output.dtype is torch.bfloat16
        output.float().sum().backward()
        assert set(EAGER.gradients(prepared)) == set(dict(module.named_parameters()))

    def test_int8_is_quantized_or_said_not_to_be(self, module, torch_version):
        import torch

        torch_version("2.8.0")
        # A CPU without VNNI adds two products in 16 bits and cuts off what is more (VPMADDUBSW), so
        # every second weight is 0 here and the error is that of INT8 itself on any CPU.
        with torch.no_grad():
            for layer in (module[0], module[2]):
                layer.weight[:, 1::2] = 0
        x = torch.randn(32, 8)
        exact = module.eval()(x).detach()
        found = EAGER.prepare_inference(module, (x,), Precision.INT8, [(x,)])(x)
        assert 0 < (found - exact).abs().max() < 0.1 * exact.abs().max()
        with pytest.raises(NotApplicableError, match="this model has none"):
            EAGER.prepare_inference(torch.nn.Softmax(1).eval(), (x,), Precision.INT8, [(x,)])

    @pytest.mark.parametrize("found", ["2.9.0", "2.15.0+cu132", "3.0.0"])
    def test_int8_that_falls_to_the_reference_is_refused(self, torch_version, found):
        torch_version(found)
        assert "use engine inductor" in EAGER.why_not(Mode.INFERENCE, Precision.INT8)
        assert EAGER.why_not(Mode.INFERENCE, Precision.BF16) is None
        with pytest.raises(NotApplicableError, match=r"ref_int8.*use engine inductor"):
            EAGER.prepare_inference(None, (), Precision.INT8, [()])


class TestInductor:
    @pytest.fixture(autouse=True)
    def installed(self, torch_version, monkeypatch):
        torch_version("2.8.0")
        monkeypatch.setenv("CXX", sys.executable)

    def test_a_missing_compiler_is_told_with_the_remedy(self, monkeypatch):
        monkeypatch.setenv("CXX", "no-such-compiler")
        reason = INDUCTOR.why_unavailable()
        assert "no compiler 'no-such-compiler' on PATH" in reason
        assert "apt-get install g++" in reason

    def test_missing_headers_are_told_with_the_remedy(self, monkeypatch, tmp_path):
        monkeypatch.setattr(inductor.sysconfig, "get_path", lambda name: str(tmp_path))
        assert "apt-get install python3-dev" in INDUCTOR.why_unavailable()

    def test_available_with_both(self, monkeypatch, tmp_path):
        (tmp_path / "Python.h").touch()
        monkeypatch.setattr(inductor.sysconfig, "get_path", lambda name: str(tmp_path))
        assert INDUCTOR.why_unavailable() is None

    def test_no_two_ceilings_cpus_or_versions_share_compiled_code(
        self, monkeypatch, tmp_path, torch_version
    ):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

        def folders():
            return [INDUCTOR.variables(isa)["TORCHINDUCTOR_CACHE_DIR"] for isa in Isa]

        found = folders()
        torch_version("2.15.0")
        found += folders()
        other = inductor.read_cpuinfo().__class__(flags=("avx512f",))
        monkeypatch.setattr(inductor, "read_cpuinfo", lambda: other)
        found += folders()
        assert len(set(found)) == 3 * len(Isa)
        assert all(folder.startswith(str(tmp_path / "amx-suite")) for folder in found)

    def test_its_own_code_must_hold_no_tiles_below_amx(self):
        for isa in Isa:
            assert ("inductor" in INDUCTOR.ceilings(isa)) is not isa.allows_amx

    def test_a_compiled_model_is_kept_under_all_that_it_is_made_from(
        self, monkeypatch, torch_version
    ):
        import torch

        weight = torch.arange(4.0)

        def key(
            graph=torch.relu,
            weights=weight,
            constants=(),
            given=weight,
            precision=Precision.BF16,
            calibration=(),
            called="call",
        ):
            exported = SimpleNamespace(
                graph_module=torch.fx.symbolic_trace(lambda x: graph(x)),
                graph_signature="signature",
                call_spec=called,
                state_dict={"weight": weights},
                constants=dict(constants),
            )
            return inductor._key(exported, (given,), precision, calibration)

        def patched(owner, name, value):
            with monkeypatch.context() as patch:
                patch.setattr(owner, name, value)
                return key()

        found = [
            key(),
            key(graph=torch.tanh),
            key(weights=weight + torch.tensor([0, 0, 0, 1e-6])),
            key(weights=weight.reshape(2, 2)),
            key(weights=weight.reshape(2, 2).t().contiguous().t()),
            key(weights=weight.int()),
            key(constants={"constant": weight}),
            key(given=weight.reshape(2, 2)),
            key(given=weight.reshape(2, 2).t()),
            key(given=weight.bfloat16()),
            key(precision=Precision.INT8),
            key(precision=Precision.INT8, calibration=[(weight,)]),
            key(precision=Precision.INT8, calibration=[(weight + 1,)]),
            key(called="another call"),
            patched(torch, "__version__", "2.8.1"),
            patched(torch.version, "git_version", "another"),
            patched(torch, "get_num_threads", lambda: 99),
            patched(inductor, "_compiler", lambda: "sh"),
        ]
        assert len(set(found)) == len(found)
        assert key(weights=weight.clone(), given=weight + 1) == key()

    def test_int8_without_a_quantizer_names_the_package(self, monkeypatch):
        monkeypatch.setattr(inductor, "_QUANTIZERS", (("no.such.steps", "no.such.rules"),))
        with pytest.raises(NotApplicableError, match=r"No module named 'no'.*install torchao"):
            inductor._quantizer()


def test_a_limit_of_this_version_is_one_line():
    with (
        pytest.raises(NotApplicableError, match=r"torch \S+ cannot fly: no wings$"),
        upstream_limits("fly"),
    ):
        raise NotImplementedError("\n  no wings\nand a page of advice")


def test_a_defect_of_this_version_is_no_limit():
    with pytest.raises(RuntimeError, match="compiler crashed"), upstream_limits("fly"):
        raise RuntimeError("compiler crashed")
