"""A trial: the arms that are measured together."""

from __future__ import annotations

__all__ = ["Trial", "TrialResult", "arms_of", "ceilings"]

import msgspec

from amx_suite.core.case import Arm, Mode, Precision, RunCase, Shape, Workload
from amx_suite.core.isa import Isa
from amx_suite.core.measurement import Measurement
from amx_suite.core.units import Unit
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


def ceilings() -> tuple[Isa, ...]:
    """Every ceiling that some arm has, lowest first."""
    used = {isa for arms in _ARMS.values() for _, isa in arms}
    return tuple(isa for isa in Isa if isa in used)


class Trial(msgspec.Struct, frozen=True):
    """Arms measured together in randomised interleaved rounds.

    They are the arms of one engine, or the same arm of several engines, each to be compared with
    the first. ``name`` is readable, such as ``resnet50-inference-ipex``, and no other trial's of
    the same run.
    """

    name: str
    workload: Workload
    shape: Shape
    arms: tuple[Arm, ...]
    seed: int = 0

    @property
    def units(self) -> tuple[Unit, ...]:
        """The units that its arms use; the tile unit only where an arm may."""
        tiles = any(case.isa.allows_amx for case in self.arms)
        return (Unit.FMA, Unit.MEMORY, *((Unit.TILE,) if tiles else ()))

    @property
    def engines(self) -> tuple[str, ...]:
        """The engines that it compares, the first that of all baselines; none if it has but one."""
        found = tuple(dict.fromkeys(case.engine for case in self.arms))
        return found if len(found) > 1 else ()

    def label(self, case: RunCase) -> str:
        """What tells the case from the others: its arm, or its engine where these are compared."""
        return case.engine if self.engines else case.arm

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
    ) -> Trial:
        """The full trial of a workload: every arm of its mode whose precision the engine has."""
        arms = tuple(
            Arm(workload, engine, precision, isa, shape, threads, seed, weights)
            for precision, isa in arms_of(workload.mode)
            if precision in precisions
        )
        return cls(f"{workload}-{engine}", workload, shape, arms, seed)

    @classmethod
    def of_engines(
        cls,
        workload: Workload,
        precision: Precision,
        engines: tuple[str, ...],
        shape: Shape,
        *,
        threads: int,
        seed: int = 0,
        weights: str = "random",
    ) -> Trial:
        """The same arm of each engine: AMX for a precision that has it, else (FP32) what it has.

        Raises KeyError for a precision that the workload's mode does not have.
        """
        # AMX comes last among the arms of its precision.
        isa = dict(arms_of(workload.mode))[precision]
        arms = tuple(
            Arm(workload, engine, precision, isa, shape, threads, seed, weights)
            for engine in engines
        )
        return cls(f"{workload}-{precision}-engines", workload, shape, arms, seed)


class TrialResult(msgspec.Struct, frozen=True):
    """A trial's raw measurement and the verdict on each of its gates."""

    measurement: Measurement
    gates: tuple[GateResult, ...]
