"""Stock PyTorch's engines prepare small modules; what makes a compiled model another one."""

import sys
from types import SimpleNamespace

import pytest

from amx_suite.core.precision import Precision
from amx_suite.engines import ENGINES, inductor
from amx_suite.engines.base import upstream_limits
from amx_suite.errors import NotApplicableError

pytestmark = pytest.mark.selftest

EAGER = ENGINES["eager"]


@pytest.fixture
def module():
    import torch

    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 4))


@pytest.mark.parametrize(
    ("precision", "dtype"), [(Precision.FP32, "torch.float32"), (Precision.BF16, "torch.bfloat16")]
)
def test_inference_runs_in_its_precision(module, precision, dtype):
    import torch

    x = torch.ones(2, 8)
    forward = EAGER.prepare_inference(module.eval(), (x,), precision, ())
    assert str(forward(x).dtype) == dtype


def test_training_keeps_names_and_gradients(module):
    import torch

    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    prepared = EAGER.prepare_training(module.train(), optimizer, Precision.BF16)
    with EAGER.training_pass(Precision.BF16):
        output = prepared[0](torch.ones(2, 8))
    assert output.dtype is torch.bfloat16
    output.float().sum().backward()
    assert set(EAGER.gradients(*prepared)) == set(dict(module.named_parameters()))


def test_int8_is_quantized(module):
    import torch

    # A CPU without VNNI adds two products in 16 bits and cuts off what is more (VPMADDUBSW), so
    # every second weight is 0 here and the error is that of INT8 itself on any CPU.
    with torch.no_grad():
        for layer in (module[0], module[2]):
            layer.weight[:, 1::2] = 0
    x = torch.randn(32, 8)
    exact = module.eval()(x).detach()
    found = EAGER.prepare_inference(module, (x,), Precision.INT8, [(x,)])(x)
    assert 0 < (found - exact).abs().max() < 0.1 * exact.abs().max()


def test_int8_without_weights_is_refused():
    import torch

    x = torch.randn(32, 8)
    with pytest.raises(NotApplicableError, match="this model has none"):
        EAGER.prepare_inference(torch.nn.Softmax(1).eval(), (x,), Precision.INT8, [(x,)])


def test_broken_torchao_is_not_applicable(monkeypatch, installed, tmp_path):
    (tmp_path / "torchao.py").write_text("raise ValueError('will be an error')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torchao", raising=False)
    installed(torch="2.15.0", torchao="9.9.9")
    with pytest.raises(NotApplicableError, match=r"torch 2\.15\.0 \(will be an error\): install"):
        inductor._quantizer()


def test_compiled_models_differ_by_their_origin(monkeypatch):
    """The key changes with each thing that a compiled model depends on."""
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

    monkeypatch.setattr(inductor, "_compiler", lambda: "true")
    found = [
        key(),
        key(graph=torch.tanh),
        key(weights=weight + torch.tensor([0, 0, 0, 1e-6])),
        key(weights=weight.reshape(2, 2)),
        key(weights=weight.reshape(2, 2).t().contiguous().t()),
        key(weights=weight.int()),
        key(constants={"constant": weight}),
        key(given=weight.reshape(2, 2)),
        key(given=weight.bfloat16()),
        key(precision=Precision.INT8),
        key(precision=Precision.INT8, calibration=[(weight,)]),
        key(precision=Precision.INT8, calibration=[(weight + 1,)]),
        key(called="another call"),
        patched(torch, "__version__", "2.8.1"),
        patched(torch.version, "git_version", "another"),
        patched(torch, "__file__", "/another/site-packages/torch/__init__.py"),
        patched(torch, "get_num_threads", lambda: 99),
        patched(inductor, "_compiler", lambda: "sh"),
    ]
    assert len(set(found)) == len(found)
    assert key(weights=weight.clone(), given=weight + 1) == key()


def test_upstream_limit_is_one_line():
    with (
        pytest.raises(NotApplicableError, match=r"torch \S+ cannot fly: no wings$"),
        upstream_limits("fly"),
    ):
        raise NotImplementedError("\n  no wings\nand a page of advice")


def test_upstream_defect_is_no_limit():
    with pytest.raises(RuntimeError, match="compiler crashed"), upstream_limits("fly"):
        raise RuntimeError("compiler crashed")
