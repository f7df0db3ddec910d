"""What an engine is: the software stack that prepares a model.

An engine knows nothing of particular models; it takes a module and example inputs, so the same code
prepares ResNet50, BERT and a single operator. torch is imported inside the methods only.
"""

from __future__ import annotations

__all__ = [
    "Ceiling",
    "Engine",
    "Forward",
    "PreparedTraining",
    "ask_engine",
    "plain_gradients",
    "require",
    "require_calibration",
]

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from amx_suite.core.case import Mode, Precision
from amx_suite.core.isa import Isa
from amx_suite.errors import EngineUnavailableError, NotApplicableError

if TYPE_CHECKING:
    import torch

#: A prepared forward pass: the example inputs' shapes in, the model's output out.
Forward = Callable[..., Any]


class Ceiling(NamedTuple):
    """What a library should report as its ceiling, and the variable that told it so."""

    report: str
    variable: str


class PreparedTraining(NamedTuple):
    """A module and optimizer ready to train; ``autocast`` makes the forward pass's context."""

    module: torch.nn.Module
    optimizer: torch.optim.Optimizer
    autocast: Callable[[], AbstractContextManager[Any]]


class Engine(Protocol):
    """One software stack. Instances are stateless; one row each in ``engines.ENGINES``."""

    name: str
    #: The installed packages that this engine's results depend on, as named in the index.
    distributions: tuple[str, ...]

    #: Whether it compiles each shape by itself, which takes seconds: checks then take few shapes.
    compiles: bool

    def why_unavailable(self) -> str | None:
        """A sentence with the remedy if the engine cannot be used here, else None; no torch."""

    def why_not(self, mode: Mode, precision: Precision) -> str | None:
        """The reason if this engine has no such arm, else None; no torch."""

    def variables(self, isa: Isa) -> dict[str, str]:
        """Environment variables that a child of this engine needs under a ceiling; no torch.

        Beside those that every engine's child gets: how the engine's own libraries are told of the
        ceiling, and where they may keep what they compile.
        """

    def prepare_inference(
        self,
        module: torch.nn.Module,
        example_inputs: tuple[torch.Tensor, ...],
        precision: Precision,
        calibration: Sequence[tuple[torch.Tensor, ...]],
    ) -> Forward:
        """Prepare an evaluation-mode module; ``calibration`` serves INT8's observers.

        The engine owns the module from here on and may change it in place.
        """

    def prepare_training(
        self, module: torch.nn.Module, optimizer: torch.optim.Optimizer, precision: Precision
    ) -> PreparedTraining:
        """Prepare a training-mode module together with its optimizer, both owned from here on."""

    def gradients(self, prepared: PreparedTraining) -> dict[str, torch.Tensor]:
        """Each parameter's gradient after a backward pass, by the model's own parameter names.

        In the layout of the unprepared model: an engine that packs weights unpacks here.
        """

    def read_back(self) -> dict[str, str]:
        """What the engine's own libraries report as their effective ceiling, by library."""

    def ceilings(self, isa: Isa) -> dict[str, Ceiling]:
        """What ``read_back`` must hold under a ceiling, for the libraries that can express it."""


def ask_engine(engine: Engine) -> None:
    """Ask all that the parent will ask of an engine, so that one that raises does so here."""
    engine.why_unavailable()
    for mode in Mode:
        for precision in Precision:
            engine.why_not(mode, precision)
    for isa in Isa:
        engine.variables(isa)
        engine.ceilings(isa)


def require(engine: Engine, mode: Mode, precision: Precision) -> None:
    """Raise EngineUnavailableError or NotApplicableError if the engine cannot serve."""
    if (reason := engine.why_unavailable()) is not None:
        raise EngineUnavailableError(reason)
    if (reason := engine.why_not(mode, precision)) is not None:
        raise NotApplicableError(reason)


def require_calibration(calibration: Sequence[tuple[torch.Tensor, ...]]) -> None:
    """Raise NotApplicableError if there is nothing for INT8's observers to see."""
    if not calibration:
        raise NotApplicableError("static INT8 quantization needs calibration inputs: none given")


def plain_gradients(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The gradients of a module whose parameters are in their ordinary layout, by name."""
    return {
        name: parameter.grad
        for name, parameter in module.named_parameters()
        if parameter.grad is not None
    }
