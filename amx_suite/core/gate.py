"""A gate: a minimum speedup, its scope, and its source."""

from __future__ import annotations

__all__ = ["DEFAULT_AMX_SHARE", "Gate", "Versus"]

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from amx_suite.core.case import RunCase, Shape, Workload
from amx_suite.core.precision import Precision
from amx_suite.core.units import Ratio, Share

#: With half or less of the operations on AMX kernels, most of what was timed is not AMX.
DEFAULT_AMX_SHARE = 0.5


class Versus(StrEnum):
    """The baseline that the AMX arm is compared with."""

    FP32 = "fp32"
    NO_AMX = "no-amx"
    #: An A/A control: the same case in another process. No gate table has it.
    CONTROL = "control"

    def is_baseline(self, case: RunCase, candidate: RunCase) -> bool:
        """Whether a case of the same trial is what the candidate is compared with."""
        if self is Versus.CONTROL:
            return case == msgspec.structs.replace(candidate, copy=1)
        if self is Versus.FP32:
            return case.precision is Precision.FP32 and candidate.precision is not Precision.FP32
        same = case.precision is candidate.precision
        return same and candidate.isa.allows_amx and not case.isa.allows_amx


class Gate(msgspec.Struct, frozen=True):
    """Minimum speedup of an AMX arm over its baseline, for one scope.

    ``minimum`` is a ratio of seconds, baseline over candidate. The arm must do more than
    ``amx_share`` (0 to 1) of its operations on AMX kernels. ``cores`` are the fewest and the most
    cores of an instance; ``cpu`` are all AMX features of the CPU, as CPUID names them, whatever its
    model is called. None means any number of cores, any CPU, and with ``engine`` any engine.
    """

    workload: Workload
    precision: Precision
    versus: Versus
    shape: Shape
    minimum: Ratio
    source: str
    engine: str | None = None
    amx_share: Share = DEFAULT_AMX_SHARE
    cores: tuple[int, int] | None = None
    cpu: tuple[str, ...] | None = None

    @property
    def id(self) -> str:
        """Readable identity: ``resnet50-inference-bf16-vs-fp32-b16x224-ipex-c2``."""
        engine = f"-{self.engine}" if self.engine else ""
        cores = "" if self.cores is None else f"-c{'-'.join(map(str, dict.fromkeys(self.cores)))}"
        features = (feature.lower() for feature in self.cpu or ())
        cpu = "".join(f"-{feature}" for feature in features)
        return f"{self.workload}-{self.precision}-vs-{self.versus}-{self.shape}{engine}{cores}{cpu}"

    def fits(self, features: Iterable[str]) -> bool:
        """Whether the gate is for a CPU that has just these AMX features."""
        return self.cpu is None or set(self.cpu) == set(features)

    def covers(self, case: RunCase) -> bool:
        """Whether this gate judges the given candidate arm."""
        control = self.versus is Versus.CONTROL
        return (
            case.is_copy is control
            and (control or case.isa.allows_amx)
            and case.workload == self.workload
            and case.precision is self.precision
            and case.shape == self.shape
            and self.engine in (None, case.engine)
            and (self.cores is None or self.cores[0] <= case.cores <= self.cores[1])
        )
