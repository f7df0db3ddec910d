"""The matrix products of one step of a model, found by torch's own counter of their operations."""

from __future__ import annotations

__all__ = ["step_products"]

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from amx_suite.core.case import Mode
from amx_suite.core.roofline import Product

if TYPE_CHECKING:
    import torch

    from amx_suite.workloads.base import Batch, ModelWorkload

#: As in ``torch.utils.flop_counter``: arguments of an operator, then ``out_val``, its result.
_Formula = Callable[..., int]


def step_products(
    workload: ModelWorkload, mode: Mode, module: torch.nn.Module, batch: Batch
) -> tuple[Product, ...]:
    """The matrix products of one step, backward pass included; those that are alike come once.

    Found on fake tensors, so that nothing is computed, and on the model as it was built: what an
    engine makes of it has the same products to compute, in whatever precision. Attention counts as
    its two products, with the scores between them written and read. The module is left as it was.
    """
    import torch
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    counter = FlopCounterMode(display=False)
    found: Counter[tuple[int, int]] = Counter()
    counter.flop_registry = {
        operator: _recording(found, formula, split=operator is torch.ops.aten.convolution_backward)
        for operator, formula in counter.flop_registry.items()
    }
    # The counter knows no formula of the CPU's fused attention, so it is taken apart.
    with FakeTensorMode(allow_non_fake_inputs=True), sdpa_kernel(SDPBackend.MATH), counter:
        if mode is Mode.TRAINING:
            workload.loss(module(*batch.inputs), batch.targets).backward()  # type: ignore[no-untyped-call]
        else:
            with torch.no_grad():
                module(*batch.inputs)
    module.zero_grad(set_to_none=True)
    with torch.no_grad():
        for name, buffer in module.named_buffers():
            buffer.copy_(buffers[name])
    return tuple(sorted(Product(*sizes, count) for sizes, count in found.items()))


def _recording(found: Counter[tuple[int, int]], formula: _Formula, *, split: bool) -> _Formula:
    """The formula of an operator; what it is asked of is counted in ``found``."""
    products = _gradients_of_convolution if split else _one_product

    def recorded(*args: Any, out_val: Any, **kwargs: Any) -> int:
        sizes = list(products(formula, args, kwargs, out_val))
        found.update(sizes)
        return sum(operations for operations, _ in sizes)

    return recorded


def _one_product(
    formula: _Formula, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any
) -> Iterator[tuple[int, int]]:
    yield formula(*args, **kwargs, out_val=out), _elements((*args, *kwargs.values(), out))


def _gradients_of_convolution(
    formula: _Formula, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any
) -> Iterator[tuple[int, int]]:
    """One operator, but two products, each of which reads the gradient of the output.

    Matrices have two operators there, and libraries compute the two one after the other.
    """
    gradient, inputs, weights, *settings, wanted = args
    for index, other in enumerate((weights, inputs)):
        if wanted[index]:
            alone = [position == index for position in range(len(wanted))]
            operations = formula(gradient, inputs, weights, *settings, alone, out_val=out, **kwargs)
            yield operations, _elements((gradient, other, out[index]))


def _elements(values: tuple[Any, ...]) -> int:
    """Elements of the tensors among the values."""
    import torch

    return sum(value.numel() for value in values if isinstance(value, torch.Tensor))
