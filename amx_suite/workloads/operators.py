"""Single operators, built from given arrays: the smallest things whose accuracy can be judged."""

from __future__ import annotations

__all__ = ["OPERATORS", "BuiltOperator", "build_operator"]

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from amx_suite.core.case import Precision
from amx_suite.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    import numpy as np
    import torch

    Tensors = Mapping[str, torch.Tensor]


class BuiltOperator(NamedTuple):
    """An evaluation-mode module and its positional inputs."""

    module: torch.nn.Module
    inputs: tuple[torch.Tensor, ...]


def _linear(tensors: Tensors, settings: Mapping[str, int]) -> BuiltOperator:
    import torch

    x, weight = tensors["x"], tensors["weight"]
    outputs, features = weight.shape
    module = torch.nn.Linear(features, outputs, bias="bias" in tensors, dtype=weight.dtype)
    return BuiltOperator(_with_parameters(module, tensors), (x,))


def _conv2d(tensors: Tensors, settings: Mapping[str, int]) -> BuiltOperator:
    import torch

    x, weight = tensors["x"], tensors["weight"]
    groups = settings.get("groups", 1)
    outputs, per_group, height, width = weight.shape
    module = torch.nn.Conv2d(
        per_group * groups,
        outputs,
        (height, width),
        stride=settings.get("stride", 1),
        padding=settings.get("padding", 0),
        dilation=settings.get("dilation", 1),
        groups=groups,
        bias="bias" in tensors,
        dtype=weight.dtype,
    )
    _with_parameters(module, tensors)
    channels_last = torch.channels_last
    # mypy knows no memory_format on Module.to; the layout is the one ResNet50 is measured in.
    laid_out: Any = module
    return BuiltOperator(
        laid_out.to(memory_format=channels_last), (x.to(memory_format=channels_last),)
    )


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


class _Recipe(NamedTuple):
    """How an operator is built: the arrays it must and may have, and its settings."""

    build: Callable[[Tensors, Mapping[str, int]], BuiltOperator]
    needs: frozenset[str]
    takes: frozenset[str] = frozenset()
    settings: frozenset[str] = frozenset()


#: Each operator's arrays.
#: ``linear``: x [rows, K], weight [N, K], bias [N].
#: ``conv2d``: x [batch, C, height, width], weight [N, C / groups, kh, kw], bias [N].
#: ``bmm``: a [batch, M, K], b [batch, K, N].
#: ``attention``: q, k, v [batch, heads, tokens, width], for softmax(q k' / sqrt(width)) v.
OPERATORS: dict[str, _Recipe] = {
    "linear": _Recipe(_linear, frozenset({"x", "weight"}), frozenset({"bias"})),
    "conv2d": _Recipe(
        _conv2d,
        frozenset({"x", "weight"}),
        frozenset({"bias"}),
        frozenset({"stride", "padding", "dilation", "groups"}),
    ),
    "bmm": _Recipe(_bmm, frozenset({"a", "b"})),
    "attention": _Recipe(_attention, frozenset({"q", "k", "v"})),
}


def build_operator(
    name: str,
    precision: Precision,
    arrays: Mapping[str, np.ndarray[Any, Any]],
    settings: Mapping[str, int],
) -> BuiltOperator:
    """The operator on these arrays, in FP64 for FP64 and FP32 otherwise.

    Lower precisions are the engine's doing, as they are for a whole model. Raises UnknownNameError
    for the operator, UsageError for arrays or settings that it has not.
    """
    recipe = OPERATORS.get(name)
    if recipe is None:
        raise UnknownNameError("operator", name, OPERATORS)
    if missing := recipe.needs - arrays.keys():
        raise UsageError(f"operator {name} lacks {', '.join(sorted(missing))}")
    unknown = (arrays.keys() - recipe.needs - recipe.takes) | (settings.keys() - recipe.settings)
    if unknown:
        raise UsageError(f"operator {name} has no {', '.join(sorted(unknown))}")
    import torch

    dtype = torch.float64 if precision is Precision.FP64 else torch.float32
    tensors = {key: torch.from_numpy(array).to(dtype) for key, array in arrays.items()}
    module, inputs = recipe.build(tensors, settings)
    return BuiltOperator(module.eval(), inputs)


def _with_parameters(module: torch.nn.Module, tensors: Tensors) -> torch.nn.Module:
    """Give a layer the weight and, if there is one, the bias."""
    given = {name: tensors[name] for name in ("weight", "bias") if name in tensors}
    module.load_state_dict(given)
    return module
