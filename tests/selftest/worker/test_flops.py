"""Operations of a step, on models small enough to count by hand."""

import pytest

from amx_suite.core.case import Mode
from amx_suite.worker.flops import step_operations
from amx_suite.workloads.base import Batch

pytestmark = pytest.mark.selftest

BATCH, INPUTS, OUTPUTS = 5, 7, 3
PRODUCT = 2 * BATCH * INPUTS * OUTPUTS


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
    assert step_operations(Plain, Mode.INFERENCE, normalised.eval(), batch) == PRODUCT


def test_training_adds_the_gradients_of_weights_and_of_inputs(normalised, batch):
    assert step_operations(Plain, Mode.TRAINING, normalised.train(), batch) == 3 * PRODUCT


def test_attention_is_counted(batch):
    import torch

    heads, tokens, size = 2, 4, 8

    class Attention(torch.nn.Module):
        def forward(self, x):
            return torch.nn.functional.scaled_dot_product_attention(x, x, x)

    query = Batch((torch.ones(1, heads, tokens, size),), torch.zeros(()))
    found = step_operations(Plain, Mode.INFERENCE, Attention(), query)
    assert found == 2 * (2 * heads * tokens * tokens * size)


def test_the_model_is_left_as_it_was(normalised, batch):
    import torch

    before = {name: value.clone() for name, value in normalised.state_dict().items()}
    state = torch.get_rng_state()
    step_operations(Plain, Mode.TRAINING, normalised.train(), batch)
    after = normalised.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(parameter.grad is None for parameter in normalised.parameters())
    assert torch.equal(state, torch.get_rng_state())
