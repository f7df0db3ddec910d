"""What runs: workload, precision, shape, and the run case that names one arm."""

from __future__ import annotations

__all__ = ["Arm", "Mode", "RunCase", "Shape", "Workload"]

import re
from enum import StrEnum

import msgspec

from amx_suite.core.isa import Isa
from amx_suite.core.precision import Precision
from amx_suite.core.units import Count, Natural
from amx_suite.errors import UsageError


class Mode(StrEnum):
    """Inference or training."""

    INFERENCE = "inference"
    TRAINING = "training"


class Shape(msgspec.Struct, frozen=True, order=True):
    """Size of one step: ``batch`` items of ``size`` (image side in pixels, or tokens)."""

    batch: Count
    size: Count

    def __str__(self) -> str:
        return f"b{self.batch}x{self.size}"

    @classmethod
    def parse(cls, text: str) -> Shape:
        """Read ``b16x224``; raises UsageError for anything else."""
        match = re.fullmatch(r"b([1-9]\d*)x([1-9]\d*)", text)
        if match is None:
            raise UsageError(f"shape '{text}' is not of the form b16x224 (batch 16, size 224)")
        return cls(int(match[1]), int(match[2]))


class Workload(msgspec.Struct, frozen=True, order=True):
    """A model and its mode."""

    model: str
    mode: Mode

    def __str__(self) -> str:
        return f"{self.model}-{self.mode}"


class RunCase(msgspec.Struct, frozen=True):
    """What one worker runs; hashable.

    ``cores`` counts the physical cores of the instance that it runs on, with one compute thread on
    each. ``weights`` is ``random`` (seeded) or the user's file, folder or name. In an A/A control
    two arms measure the same case, and ``copy`` tells them apart. Where two builds are compared,
    ``side`` is ``base`` or ``new``.
    """

    workload: Workload
    engine: str
    precision: Precision
    isa: Isa
    shape: Shape
    cores: Count
    seed: Natural = 0
    weights: str = "random"
    copy: Count = 1
    side: str = ""

    @property
    def name(self) -> str:
        """The readable name used in test ids, such as ``resnet50-inference-bf16-amx-ipex``."""
        return f"{self.workload}-{self.precision}-{self.isa}-{self.engine}"

    @property
    def arm(self) -> str:
        """The name inside its trial, such as ``bf16@amx``, ``bf16@amx#2`` or ``bf16@amx:new``."""
        return f"{self.precision}@{self.isa}{self._tail}"

    @property
    def id(self) -> str:
        """The full identity: the name, then shape, cores, seed, weights, side and copy."""
        weights = "" if self.weights == "random" else f"-w:{self.weights}"
        return f"{self.name}-{self.shape}-c{self.cores}-s{self.seed}{weights}{self._tail}"

    @property
    def is_copy(self) -> bool:
        """Whether it is the second arm of an A/A control."""
        return self.copy > 1

    @property
    def conditions(self) -> dict[str, str]:
        """The part of its identity that two compared runs must share."""
        names = ("engine", "shape", "cores", "seed", "weights")
        return {name: str(getattr(self, name)) for name in names}

    @property
    def _tail(self) -> str:
        side = f":{self.side}" if self.side else ""
        return f"{side}#{self.copy}" if self.is_copy else side


#: A run case inside a trial, in a process of its own.
Arm = RunCase
