"""The workloads' table, as the parent reads it without torch."""

import subprocess
import sys

import pytest

from amx_suite.core.case import Mode, Shape
from amx_suite.errors import UnknownNameError
from amx_suite.workloads import WORKLOADS, workload

pytestmark = pytest.mark.selftest


def test_every_row_is_under_its_own_name():
    assert all(row.name == name for name, row in WORKLOADS.items())


def test_an_unknown_workload_is_told_with_the_nearest_name():
    with pytest.raises(UnknownNameError, match="Did you mean 'resnet50'"):
        workload("resnet")


def test_the_published_shapes_are_at_level_4():
    """ResNet50 training 128 images, inference 64; BERT inference 64 of 512 tokens."""
    assert WORKLOADS["resnet50"].shapes[Mode.TRAINING, 4] == Shape(128, 224)
    assert WORKLOADS["resnet50"].shapes[Mode.INFERENCE, 4] == Shape(64, 224)
    assert WORKLOADS["bert"].shapes[Mode.INFERENCE, 4] == Shape(64, 512)


#: Median milliseconds of the slowest arm's step at batch 16 (IPEX 2.8, 2 vCPUs).
SLOWEST_AT_BATCH_16 = {
    ("resnet50", Mode.INFERENCE): 1205,
    ("resnet50", Mode.TRAINING): 4808,
    ("bert", Mode.INFERENCE): 3263,
    ("bert", Mode.TRAINING): 13423,
}


@pytest.mark.parametrize(("model", "mode"), SLOWEST_AT_BATCH_16)
def test_steps_of_level_3_take_about_2_s(model, mode):
    """Seconds of a step grow with its batch."""
    shape = WORKLOADS[model].shapes[mode, 3]
    assert SLOWEST_AT_BATCH_16[model, mode] * shape.batch / 16 < 2500


def test_level_3_shapes():
    shapes = {
        (model, mode): shape
        for model, row in WORKLOADS.items()
        for (mode, level), shape in row.shapes.items()
        if level == 3
    }
    assert shapes == {
        ("resnet50", Mode.INFERENCE): Shape(16, 224),
        ("resnet50", Mode.TRAINING): Shape(8, 224),
        ("bert", Mode.INFERENCE): Shape(8, 128),
        ("bert", Mode.TRAINING): Shape(2, 128),
    }


def test_the_models_run_in_both_modes_from_level_3_on():
    for model in ("resnet50", "bert"):
        assert set(WORKLOADS[model].shapes) == {(mode, level) for mode in Mode for level in (3, 4)}
    assert set(WORKLOADS["gemm"].shapes) == {(Mode.INFERENCE, 2)}


@pytest.mark.parametrize(
    ("model", "items", "unit"), [("resnet50", 16, "images"), ("bert", 1024, "tokens")]
)
def test_items_of_a_step(model, items, unit):
    row = WORKLOADS[model]
    assert (row.items_per_step(row.shapes[Mode.INFERENCE, 3]), row.unit) == (items, unit)


def test_the_tables_load_without_heavy_packages():
    code = (
        "import sys, amx_suite.engines, amx_suite.workloads, amx_suite.accuracy\n"
        "import amx_suite.worker.session\n"
        "heavy = {'torch', 'numpy', 'transformers', 'torchvision', 'safetensors'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
