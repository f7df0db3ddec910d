"""A trial: the arms that are measured together."""

from __future__ import annotations

__all__ = ["Trial", "TrialResult", "arms_of"]

import msgspec

from amx_suite.core.case import Mode, Precision, RunCase, Shape, Workload
from amx_suite.core.isa import Isa
from amx_suite.core.measurement import Measurement
from amx_suite.core.verdict import GateResult

#: The arms of each mode (precision under ceiling), baseline first: the published recipe's table.
_ARMS: dict[Mode, tuple[tuple[Precision, Isa], ...]] = {
    Mode.INFERENCE: (
        (Precision.FP32, Isa.AVX512),
        (Precision.BF16, Isa.AVX512_BF16),
        (Precision.BF16, Isa.AMX),
        (Precision.INT8, Isa.AVX512_VNNI),
        (Precision.INT8, Isa.AMX),
    ),
    Mode.TRAINING: (
        (Precision.FP32, Isa.AVX512),
        (Precision.BF16, Isa.AVX512_BF16),
        (Precision.BF16, Isa.AMX),
    ),
}


def arms_of(mode: Mode) -> tuple[tuple[Precision, Isa], ...]:
    """The (precision, ceiling) of each arm of a mode, FP32 first."""
    return _ARMS[mode]


class Trial(msgspec.Struct, frozen=True):
    """Arms measured together in randomised interleaved rounds.

    ``twin`` is one of the arms started once more: no arm of its own, but a check of the method.
    """

    workload: Workload
    engine: str
    shape: Shape
    arms: tuple[RunCase, ...]
    seed: int = 0
    twin: RunCase | None = None

    @property
    def cases(self) -> tuple[RunCase, ...]:
        """Everything that takes turns: the arms, then the twin if there is one."""
        return self.arms if self.twin is None else (*self.arms, self.twin)

    @property
    def name(self) -> str:
        """Readable name: ``resnet50-inference-ipex``."""
        return f"{self.workload}-{self.engine}"

    @classmethod
    def of(
        cls,
        workload: Workload,
        engine: str,
        shape: Shape,
        *,
        threads: int,
        seed: int = 0,
        weights: str = "random",
        precisions: tuple[Precision, ...] = tuple(Precision),
        twin: bool = False,
    ) -> Trial:
        """The full trial of a workload: every arm of its mode whose precision the engine has.

        With ``twin`` the first AMX arm is measured twice.
        """
        arms = tuple(
            RunCase(workload, engine, precision, isa, shape, threads, seed, weights)
            for precision, isa in arms_of(workload.mode)
            if precision in precisions
        )
        doubled = [case for case in arms if case.isa.allows_amx][: int(twin)]
        second = msgspec.structs.replace(doubled[0], twin=True) if doubled else None
        return cls(workload, engine, shape, arms, seed, second)


class TrialResult(msgspec.Struct, frozen=True):
    """A trial's raw measurement and the verdict on each of its gates."""

    measurement: Measurement
    gates: tuple[GateResult, ...]
