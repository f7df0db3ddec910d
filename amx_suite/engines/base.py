"""What an engine is: the software stack that prepares a model.

An engine knows no particular model: it takes a module and example inputs, so the same code prepares
ResNet50, BERT and a single operator. torch is imported inside functions only.
"""

from __future__ import annotations

__all__ = [
    "Batches",
    "Ceiling",
    "Engine",
    "Forward",
    "Tensors",
    "autocast",
    "torch_series",
    "upstream_limits",
]

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from amx_suite.core.case import Mode
from amx_suite.core.isa import Isa
from amx_suite.core.packages import installed
from amx_suite.core.precision import Precision
from amx_suite.errors import EngineUnavailableError, NotApplicableError

if TYPE_CHECKING:
    import torch

#: A prepared forward pass: a model's inputs in, its output out.
Forward = Callable[..., Any]
#: A model's positional inputs; and those of several batches.
Tensors: TypeAlias = "tuple[torch.Tensor, ...]"
Batches: TypeAlias = "Sequence[Tensors]"

_ATEN_VARIABLE = "ATEN_CPU_CAPABILITY"
_LONGEST_REASON = 300
#: With it FP16 products run on oneDNN's reference kernel: 15.5 s in place of 8 ms (PyTorch issue
#: 193951, oneDNN 3.12.3). Measured, they would spend the budget of every other arm of the trial.
_WITHOUT_FP16 = "2.14.0"


class Ceiling(NamedTuple):
    """What a library must report as its ceiling, and the variable that sets it."""

    report: str
    variable: str


class Engine(ABC):
    """One software stack; one row each in ``engines.ENGINES``. Instances have no state.

    The methods here describe PyTorch as it is installed; a stack overrides what it does otherwise.
    ``distributions`` are the installed packages that its results depend on, as named in the index,
    ``levelled`` the libraries that obey and report ``level``.
    ``compiles`` says that each shape is compiled by itself, which takes seconds: checks then use
    few shapes.
    """

    name: str
    distributions: tuple[str, ...] = ("torch",)
    levelled: tuple[str, ...] = ("torch",)
    compiles = False

    def why_unavailable(self) -> str | None:
        """A sentence with the remedy if the engine cannot be used here, else None; no torch."""
        if installed("torch") is None:
            return "PyTorch is not installed: install it with: pip install torch torchvision"
        return None

    def why_not(self, mode: Mode, precision: Precision) -> str | None:
        """The reason if this engine has no such arm, else None; no torch."""
        if not precision.spec.isas:
            return f"{precision.upper()} is the reference of accuracy and no engine's arm"
        if mode is Mode.TRAINING and not precision.spec.trains:
            return f"there is no {precision.upper()} training: the format is for inference"
        torch = installed("torch") or ""
        if precision.spec.autocast == "float16" and torch.partition("+")[0] == _WITHOUT_FP16:
            return (
                f"torch {torch} runs FP16 products on oneDNN's reference kernel "
                "(ref:any, PyTorch issue 193951), unlike 2.13 and 2.15: use another release"
            )
        return None

    def require(self, mode: Mode, precision: Precision) -> None:
        """Raise EngineUnavailableError or NotApplicableError if the engine has no such arm."""
        if (reason := self.why_unavailable()) is not None:
            raise EngineUnavailableError(reason)
        if (reason := self.why_not(mode, precision)) is not None:
            raise NotApplicableError(reason)

    def level(self, isa: Isa) -> str:
        """The level of ATEN_CPU_CAPABILITY under a ceiling, which ``levelled`` report; no torch.

        PyTorch ignores a level that it does not know with a warning, so it gets the nearest one:
        its own kernels know AVX2 and AVX512 (aten/src/ATen/native/DispatchStub.cpp). The products
        of higher levels are those of oneDNN and MKL.
        """
        return isa.spec.vectors

    def variables(self, isa: Isa) -> dict[str, str]:
        """Environment variables of a child under a ceiling, beside those of every child."""
        return {_ATEN_VARIABLE: self.level(isa)}

    def ceilings(self, isa: Isa) -> dict[str, Ceiling]:
        """What ``read_back`` must hold under a ceiling, by library."""
        return dict.fromkeys(self.levelled, Ceiling(self.level(isa).upper(), _ATEN_VARIABLE))

    def read_back(self) -> dict[str, str]:
        """The ceiling that each of the engine's own libraries reports."""
        import torch

        return {"torch": torch.backends.cpu.get_cpu_capability()}

    @abstractmethod
    def prepare_inference(
        self, module: torch.nn.Module, inputs: Tensors, precision: Precision, calibration: Batches
    ) -> Forward:
        """Prepare an evaluation-mode module, which the engine may change in place.

        Every input will have the shapes of ``inputs``. Static quantization observes
        ``calibration``, which is empty for other formats.
        Raises EngineUnavailableError or NotApplicableError if the stack cannot do it.
        """

    def prepare_training(
        self, module: torch.nn.Module, optimizer: torch.optim.Optimizer, precision: Precision
    ) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
        """Prepare a training-mode module with its optimizer; the engine may change both in place.

        Raises EngineUnavailableError or NotApplicableError if the stack cannot do it.
        """
        return module, optimizer

    def training_pass(self, precision: Precision) -> AbstractContextManager[None]:
        """The context of a prepared module's forward pass."""
        return autocast(precision)

    def gradients(
        self, module: torch.nn.Module, optimizer: torch.optim.Optimizer
    ) -> dict[str, torch.Tensor]:
        """Each parameter's gradient after a backward pass, by the model's own parameter names.

        In the layout of the unprepared model: an engine that packs weights unpacks here.
        """
        return {
            name: parameter.grad
            for name, parameter in module.named_parameters()
            if parameter.grad is not None
        }


def autocast(precision: Precision) -> AbstractContextManager[None]:
    """PyTorch's autocast to the type of a precision; it does nothing if there is none."""
    import torch

    dtype: torch.dtype = getattr(torch, precision.spec.autocast or "bfloat16")
    return torch.autocast("cpu", dtype, enabled=bool(precision.spec.autocast))


def torch_series() -> tuple[int, ...]:
    """Major and minor version of the installed PyTorch, ``(0,)`` without it; no torch."""
    # Not with packaging: an arm's Python need not have it.
    return tuple(map(int, re.findall(r"\d+", installed("torch") or "0")[:2]))


@contextmanager
def upstream_limits(what: str, *limits: type[Exception]) -> Iterator[None]:
    """Turn what this version of PyTorch says it cannot do into a NotApplicableError of one line.

    ``limits`` are the errors that say so, beside a missing module or implementation. Any other
    error is a defect of that version and passes through: it must not look like a limit.
    """
    said: tuple[type[Exception], ...] = (ImportError, NotImplementedError, *limits)
    try:
        yield
    except said as error:
        import torch

        lines = (line.strip() for line in str(error).splitlines())
        first = next((line for line in lines if line), type(error).__name__)
        raise NotApplicableError(
            f"torch {torch.__version__} cannot {what}: {first[:_LONGEST_REASON]}"
        ) from error
