"""The workloads' table, and what its models have in common."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest
from run_cases import case_of

from amx_suite.core.case import Mode, Shape
from amx_suite.core.precision import Precision
from amx_suite.errors import NotApplicableError, UnknownNameError, UsageError
from amx_suite.workloads import WORKLOADS, workload
from amx_suite.workloads.base import Inputs
from amx_suite.workloads.operators import build_operator

pytestmark = pytest.mark.selftest


def test_unknown_workload_names_the_nearest():
    assert all(row.name == name for name, row in WORKLOADS.items())
    with pytest.raises(UnknownNameError, match="Did you mean 'resnet50'"):
        workload("resnet")


def test_shapes_are_the_designs():
    shapes = {
        (name, *key): shape for name in WORKLOADS for key, shape in WORKLOADS[name].shapes.items()
    }
    assert shapes == {
        ("gemm", Mode.INFERENCE, 2): Shape(16, 128),
        ("resnet50", Mode.INFERENCE, 3): Shape(16, 224),
        ("resnet50", Mode.TRAINING, 3): Shape(8, 224),
        ("bert", Mode.INFERENCE, 3): Shape(8, 128),
        ("bert", Mode.TRAINING, 3): Shape(2, 128),
        # Published shapes, but for BERT's training.
        ("resnet50", Mode.INFERENCE, 4): Shape(64, 224),
        ("resnet50", Mode.TRAINING, 4): Shape(128, 224),
        ("bert", Mode.INFERENCE, 4): Shape(64, 512),
        ("bert", Mode.TRAINING, 4): Shape(32, 128),
    }


@pytest.mark.parametrize(
    ("model", "items", "unit"),
    [("gemm", 2048, "rows"), ("resnet50", 16, "images"), ("bert", 2048, "tokens")],
)
def test_items_of_a_step(model, items, unit):
    row = WORKLOADS[model]
    assert (row.items_per_step(Shape(16, 128)), row.unit) == (items, unit)


@pytest.mark.parametrize("precision", Precision)
@pytest.mark.parametrize("model", ["gemm", "square"])
def test_products_are_seeded_and_fit_their_rows(model, precision):
    case = case_of(model, precision=precision)
    dtype = "torch.float64" if precision is Precision.FP64 else "torch.float32"
    first, again = (WORKLOADS[model].build(case, Inputs()) for _ in range(2))
    (batch, _), sentence = WORKLOADS[model].batches(case, Inputs(), 2)
    output = first(*batch.inputs)
    assert output.shape[0] == 32
    assert str(output.dtype) == dtype
    assert (output == again(*batch.inputs)).all()
    assert sentence == "synthetic rows, seed 0"


def test_products_have_no_weights_nor_training():
    with pytest.raises(UsageError, match=r"random weights only, not 'mine\.pt'"):
        WORKLOADS["gemm"].build(case_of("gemm", weights="mine.pt"), Inputs())
    with pytest.raises(NotApplicableError, match="inference only"):
        WORKLOADS["gemm"].optimizer(None)


def test_operators_compute_on_the_given_arrays():
    random = np.random.default_rng(0)
    arrays = {name: random.standard_normal((4, 3)) for name in ("x", "weight")}
    arrays["bias"] = random.standard_normal(4)
    built = build_operator("linear", Precision.FP64, arrays, {})
    expected = arrays["x"] @ arrays["weight"].T + arrays["bias"]
    np.testing.assert_allclose(built.module(*built.inputs).detach().numpy(), expected)
    arrays |= {"x": np.ones((2, 3, 5, 5)), "weight": np.ones((4, 3, 3, 3))}
    built = build_operator("conv2d", Precision.BF16, arrays, {"stride": 2, "padding": 1})
    output = built.module(*built.inputs)
    assert (output.shape, str(output.dtype)) == ((2, 4, 3, 3), "torch.float32")


def test_operator_may_lack_its_bias():
    arrays = {"x": np.ones((2, 3)), "weight": np.ones((4, 3))}
    built = build_operator("linear", Precision.FP32, arrays, {})
    assert built.module(*built.inputs).tolist() == [[3.0] * 4] * 2


def test_grouped_convolution_takes_all_channels():
    arrays = {"x": np.ones((1, 4, 5, 5)), "weight": np.ones((2, 2, 3, 3))}
    built = build_operator("conv2d", Precision.FP32, arrays, {"groups": 2})
    assert built.module(*built.inputs).flatten()[0] == 18.0


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [("linaer", UnknownNameError, "linear"), ("linear", UsageError, "needs the array 'weight'")],
)
def test_wrong_operator_is_named(name, error, words):
    with pytest.raises(error, match=words):
        build_operator(name, Precision.FP32, {"x": np.ones((1, 1))}, {})


class Worker:
    """An ``isa_worker`` in this process."""

    def operate(self, operator, precision, arrays):
        built = build_operator(operator, precision, arrays, {})
        return built.module(*built.inputs).detach().numpy()


def test_example_of_the_docs_runs(tmp_path):
    page = Path(__file__).parents[3] / "docs" / "extending.md"
    example = re.search(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / "example.py").write_text(example[1])
    found = runpy.run_path(str(tmp_path / "example.py"))
    found["test_products_under_every_ceiling"](Worker())
