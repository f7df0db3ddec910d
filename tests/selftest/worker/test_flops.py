"""The products of a step, on models small enough to count by hand."""

import pytest

from amx_suite.core.case import Mode
from amx_suite.core.roofline import Product, operations_in
from amx_suite.worker.flops import step_products
from amx_suite.workloads.base import Batch

pytestmark = pytest.mark.selftest

BATCH, INPUTS, OUTPUTS = 5, 7, 3
PRODUCT = 2 * BATCH * INPUTS * OUTPUTS
X, W, Y = BATCH * INPUTS, INPUTS * OUTPUTS, BATCH * OUTPUTS


class Plain:
    """As much of a workload as is asked for."""

    @staticmethod
    def loss(output, targets):
        return (output - targets).pow(2).mean()


@pytest.fixture
def normalised():
    """A batch normalisation, which keeps statistics, and a linear layer."""
    import torch

    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.BatchNorm1d(INPUTS), torch.nn.Linear(INPUTS, OUTPUTS))


@pytest.fixture
def batch():
    import torch

    return Batch((torch.ones(BATCH, INPUTS),), torch.zeros(BATCH, OUTPUTS))


def test_inference_is_one_product(normalised, batch):
    found = step_products(Plain, Mode.INFERENCE, normalised.eval(), batch)
    assert found == (Product(PRODUCT, X + W + OUTPUTS + Y),)


def test_training_adds_the_gradients_of_weights_and_of_inputs(normalised, batch):
    found = step_products(Plain, Mode.TRAINING, normalised.train(), batch)
    # The bias is an operand of the first alone; each of the others has the same three matrices.
    assert found == (Product(PRODUCT, X + W + Y, 2), Product(PRODUCT, X + W + OUTPUTS + Y))


def test_attention_is_two_products_of_which_scores_are_a_part():
    import torch

    heads, tokens, size = 2, 4, 8

    class Attention(torch.nn.Module):
        def forward(self, x):
            return torch.nn.functional.scaled_dot_product_attention(x, x, x)

    query = Batch((torch.ones(1, heads, tokens, size),), torch.zeros(()))
    found = step_products(Plain, Mode.INFERENCE, Attention(), query)
    operations = 2 * heads * tokens * tokens * size
    assert found == (Product(operations, heads * (2 * tokens * size + tokens * tokens), 2),)


CHANNELS, FILTERS, SIDE = 2, 3, 6
IMAGE, KERNEL, MAP = CHANNELS * SIDE**2, FILTERS * CHANNELS * 3**2, FILTERS * (SIDE - 2) ** 2
CONVOLUTION = 2 * MAP * CHANNELS * 3**2


@pytest.fixture
def convolutions():
    """Two convolutions of which the first has a bias, and an image for them."""
    import torch

    model = torch.nn.Sequential(
        torch.nn.Conv2d(CHANNELS, FILTERS, 3), torch.nn.Conv2d(FILTERS, 1, 1, bias=False)
    )
    return model, Batch((torch.ones(1, CHANNELS, SIDE, SIDE),), torch.zeros(()))


SECOND = Product(2 * MAP, MAP + FILTERS + MAP // FILTERS)


def test_a_convolution_reads_its_image_and_kernel_once(convolutions):
    found = step_products(Plain, Mode.INFERENCE, *convolutions)
    assert found == (SECOND, Product(CONVOLUTION, IMAGE + KERNEL + FILTERS + MAP))


def test_a_convolution_s_gradients_are_two_products(convolutions):
    """Of the first one the image's gradient is not wanted, and so not counted."""
    found = step_products(Plain, Mode.TRAINING, *convolutions)
    forward = IMAGE + KERNEL + FILTERS + MAP
    assert found == (
        Product(SECOND.operations, SECOND.elements, 3),
        Product(CONVOLUTION, IMAGE + KERNEL + MAP),
        Product(CONVOLUTION, forward),
    )


def test_operations_are_those_of_torchs_counter(convolutions):
    """Taking the gradients apart loses none of what the counter itself finds."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    model, batch = convolutions
    with FlopCounterMode(display=False) as counter:
        Plain.loss(model(torch.ones_like(batch.inputs[0])), batch.targets).backward()
    found = step_products(Plain, Mode.TRAINING, model, batch)
    assert operations_in(found) == counter.get_total_flops()


def test_the_model_is_left_as_it_was(normalised, batch):
    import torch

    before = {name: value.clone() for name, value in normalised.state_dict().items()}
    state = torch.get_rng_state()
    step_products(Plain, Mode.TRAINING, normalised.train(), batch)
    after = normalised.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(parameter.grad is None for parameter in normalised.parameters())
    assert torch.equal(state, torch.get_rng_state())
