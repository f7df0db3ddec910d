"""A trial: the arms that are measured together."""

from __future__ import annotations

__all__ = ["Trial", "TrialResult", "arms_of", "ceilings"]

from collections.abc import Collection

import msgspec

from amx_suite.core.case import Arm, Mode, Shape, Workload
from amx_suite.core.isa import Isa
from amx_suite.core.measurement import Measurement
from amx_suite.core.precision import Precision
from amx_suite.core.units import Unit
from amx_suite.core.verdict import GateResult


def arms_of(mode: Mode, cpu_flags: Collection[str] = ()) -> tuple[tuple[Precision, Isa], ...]:
    """The (precision, ceiling) of each arm of a mode, FP32 first.

    Last come the arms that stand in on a CPU with these flags; none if they are not known.
    """
    precisions = [p for p in Precision if p.spec.trains or mode is Mode.INFERENCE]
    arms = [(precision, isa) for precision in precisions for isa in precision.spec.isas]
    for precision in precisions:
        wanted, stand_in = precision.spec.without_amx, precision.spec.stand_in
        if wanted is None or stand_in is None:
            continue
        if stand_in.runs_on(cpu_flags) and not wanted.runs_on(cpu_flags):
            arms.append((precision, stand_in))
    return tuple(arms)


def ceilings() -> tuple[Isa, ...]:
    """Every ceiling of an arm, lowest first."""
    used = {isa for precision in Precision for isa in precision.spec.isas}
    return tuple(isa for isa in Isa if isa in used)


class Trial(msgspec.Struct, frozen=True):
    """Arms measured together in interleaved rounds; the first is the FP32 baseline.

    ``name``, such as ``resnet50-inference-ipex``, is unique within a run.
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

    @classmethod
    def of(
        cls,
        workload: Workload,
        engine: str,
        shape: Shape,
        *,
        cores: int,
        seed: int = 0,
        weights: str = "random",
        cpu_flags: Collection[str] = (),
    ) -> Trial:
        """The full trial of a workload: every arm of its mode on a CPU with these flags."""
        arms = tuple(
            Arm(workload, engine, precision, isa, shape, cores, seed, weights)
            for precision, isa in arms_of(workload.mode, cpu_flags)
        )
        return cls(f"{workload}-{engine}", workload, shape, arms, seed)


class TrialResult(msgspec.Struct, frozen=True):
    """A trial's raw measurement and the verdict on each of its gates."""

    measurement: Measurement
    gates: tuple[GateResult, ...]
