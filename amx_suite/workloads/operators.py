"""Single operators, built from given arrays: the smallest things whose accuracy can be judged."""

from __future__ import annotations

__all__ = ["BuiltOperator", "build_operator"]

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from amx_suite.core.precision import Precision
from amx_suite.errors import UnknownNameError, UsageError
from amx_suite.workloads.base import floating

if TYPE_CHECKING:
    import numpy as np
    import torch

    Tensors = Mapping[str, torch.Tensor]


class BuiltOperator(NamedTuple):
    """An evaluation-mode module and its positional inputs."""

    module: torch.nn.Module
    inputs: tuple[torch.Tensor, ...]


def build_operator(
    name: str,
    precision: Precision,
    arrays: Mapping[str, np.ndarray[Any, Any]],
    settings: Mapping[str, int],
) -> BuiltOperator:
    """The operator on these arrays, in the type ``floating`` gives.

    ``linear``: x [rows, K], weight [N, K]; ``conv2d``: x [batch, C, height, width], weight
    [N, C / groups, kh, kw], and the settings of ``torch.nn.Conv2d``; both may have a bias [N].
    ``bmm``: a [batch, M, K], b [batch, K, N]. ``attention``: q, k, v [batch, heads, tokens, width],
    for softmax(q k' / sqrt(width)) v. Raises UnknownNameError for another operator, UsageError for
    a missing array.
    """
    if name not in _OPERATORS:
        raise UnknownNameError("operator", name, _OPERATORS)
    import torch

    dtype = floating(precision)
    tensors = {key: torch.from_numpy(array).to(dtype) for key, array in arrays.items()}
    try:
        module, inputs = _OPERATORS[name](tensors, settings)
    except KeyError as error:
        raise UsageError(f"operator {name} needs the array {error}") from error
    return BuiltOperator(module.eval(), inputs)


def _linear(tensors: Tensors, settings: Mapping[str, int]) -> BuiltOperator:
    import torch

    outputs, features = tensors["weight"].shape
    module = torch.nn.Linear(features, outputs, bias="bias" in tensors)
    return BuiltOperator(_with_parameters(module, tensors), (tensors["x"],))


def _conv2d(tensors: Tensors, settings: Mapping[str, int]) -> BuiltOperator:
    """In the layout in which ResNet50 is measured."""
    import torch

    outputs, per_group, height, width = tensors["weight"].shape
    channels = per_group * settings.get("groups", 1)
    options: Any = {**settings, "bias": "bias" in tensors}
    # mypy knows no memory_format on Module.to.
    module: Any = torch.nn.Conv2d(channels, outputs, (height, width), **options)
    layout = torch.channels_last
    laid_out = _with_parameters(module, tensors).to(memory_format=layout)
    return BuiltOperator(laid_out, (tensors["x"].to(memory_format=layout),))


def _with_parameters(module: Any, tensors: Tensors) -> Any:
    module.to(tensors["weight"].dtype)
    module.load_state_dict({name: tensors[name] for name in module.state_dict()})
    return module


def _bmm(tensors: Tensors, settings: Mapping[str, int]) -> BuiltOperator:
    import torch

    class Product(torch.nn.Module):
        def forward(self, a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
            return torch.matmul(a, b)

    return BuiltOperator(Product(), (tensors["a"], tensors["b"]))


def _attention(tensors: Tensors, settings: Mapping[str, int]) -> BuiltOperator:
    import torch

    class Attention(torch.nn.Module):
        def forward(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.scaled_dot_product_attention(q, k, v)

    return BuiltOperator(Attention(), (tensors["q"], tensors["k"], tensors["v"]))


_OPERATORS: dict[str, Callable[[Tensors, Mapping[str, int]], BuiltOperator]] = {
    "linear": _linear,
    "conv2d": _conv2d,
    "bmm": _bmm,
    "attention": _attention,
}
