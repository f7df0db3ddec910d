"""The example of a third-party engine: what it says, and, where OpenVINO is installed, computes."""

import importlib.metadata
import importlib.util
import tomllib
from pathlib import Path

import pytest

from amx_suite import extensions
from amx_suite.core.case import Mode, Precision
from amx_suite.core.isa import Isa
from amx_suite.core.trial import arms_of
from amx_suite.engines.base import Engine, ask_engine
from amx_suite.errors import EngineUnavailableError, NotApplicableError
from amx_suite.worker.capture import kernel_log
from amx_suite.worker.verbose import parse_log

pytestmark = pytest.mark.selftest

HERE = Path(__file__).parent


@pytest.fixture
def engine(monkeypatch):
    """The engine by its package's own entry point, installed or not."""
    project = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
    ((name, value),) = project["entry-points"]["amx_suite.engines"].items()
    entry = importlib.metadata.EntryPoint(name, value, "amx_suite.engines")
    monkeypatch.syspath_prepend(HERE)
    monkeypatch.setattr(extensions, "entry_points", lambda group: [entry])
    monkeypatch.setattr(extensions, "_refusals", [])
    rows = extensions.extended("engine", {}, Engine, ask_engine)
    assert extensions.refusals() == ()
    return rows["openvino"]


def test_it_has_every_arm_of_inference_and_none_of_training(engine):
    for precision, _ in arms_of(Mode.INFERENCE):
        assert engine.why_not(Mode.INFERENCE, precision) is None
    for precision, _ in arms_of(Mode.TRAINING):
        assert "no training" in engine.why_not(Mode.TRAINING, precision)


def test_without_openvino_it_names_the_remedy(engine, monkeypatch):
    def version(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", version)
    assert "pip install 'amx-suite[openvino]'" in engine.why_unavailable()
    with pytest.raises(EngineUnavailableError, match="OpenVINO is not installed"):
        engine.prepare_inference(None, (), Precision.FP32, ())


def test_openvinos_own_code_is_told_of_the_ceiling_in_onednns_words(engine):
    for isa in Isa:
        assert engine.variables(isa) == {"OV_CPU_MAX_ISA": isa.spec.onednn}


@pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None,
    reason="OpenVINO is not installed: pip install '.[openvino]'",
)
class TestInstalled:
    @pytest.fixture(autouse=True)
    def switch(self, monkeypatch):
        """Leave PyTorch's switch as it was."""
        from torch.backends import mkldnn

        monkeypatch.setattr(mkldnn, "verbose", mkldnn.verbose)

    @pytest.fixture
    def module(self):
        import torch

        torch.manual_seed(0)
        layers = torch.nn.Linear(64, 96), torch.nn.ReLU(), torch.nn.Linear(96, 32)
        return torch.nn.Sequential(*layers).eval()

    def test_fp32_is_right_and_each_layer_is_in_the_evidence(self, engine, module):
        import torch

        x = torch.randn(16, 64)
        with torch.no_grad():
            exact = module(x)
            forward = engine.prepare_inference(module, (x,), Precision.FP32, ())
            assert torch.allclose(forward(x), exact, atol=1e-5)
            kernels = parse_log(kernel_log(lambda: forward(x))).kernels
            quiet = parse_log(kernel_log(lambda: None)).kernels
        products = [use for use in kernels if use.kind == "inner_product"]
        assert sum(use.count for use in products) == 2
        assert {use.data_type for use in products} == {"f32"}
        assert all(use.implementation.startswith("openvino:") for use in products)
        assert quiet == ()

    def test_int8_needs_calibration_inputs(self, engine, module):
        import torch

        with pytest.raises(NotApplicableError, match="calibration inputs"):
            engine.prepare_inference(module, (torch.randn(16, 64),), Precision.INT8, ())

    def test_int8_is_quantized_or_said_not_to_be(self, engine, module):
        pytest.importorskip("nncf")
        import torch

        x = torch.randn(16, 64)
        exact = module(x).detach()
        found = engine.prepare_inference(module, (x,), Precision.INT8, [(x,)])(x)
        assert 0 < (found - exact).abs().max() < 0.1 * exact.abs().max()
        with pytest.raises(NotApplicableError, match="nothing to quantize"):
            engine.prepare_inference(torch.nn.Softmax(1), (x,), Precision.INT8, [(x,)])
