"""Which arms are compared: a base and a new one of the same workload."""

from __future__ import annotations

__all__ = ["BASE", "NEW", "ArmName", "Comparison", "Side", "pairs_of", "parse_arm"]

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from amx_suite.core.case import Arm
from amx_suite.core.isa import Isa
from amx_suite.core.precision import Precision
from amx_suite.core.trial import Trial
from amx_suite.errors import UsageError

BASE, NEW = "base", "new"


class Side(msgspec.Struct, frozen=True):
    """One side: the path of its Python, that one's version, its packages, and its engine."""

    python: str
    version: str
    packages: dict[str, str]
    engine: str

    def __str__(self) -> str:
        packages = ", ".join(f"{name} {version}" for name, version in self.packages.items())
        return f"{self.engine} in {self.python}: Python {self.version}, {packages}"


class ArmName(NamedTuple):
    """An arm without its workload, such as ``bf16@amx``."""

    precision: Precision
    isa: Isa


class Comparison(msgspec.Struct, frozen=True):
    """A base and a new arm; with ``control`` the base runs once more, and is compared with itself.

    The arms have their ``side``, so that their ids differ.
    """

    base: Arm
    new: Arm
    control: bool = False

    @property
    def name(self) -> str:
        """The arm's name, such as ``gemm-inference-bf16-amx-eager``, or the names of both."""
        if self.base.name == self.new.name:
            return self.base.name
        return f"{self.base.name}-to-{self.new.precision}-{self.new.isa}-{self.new.engine}"

    @property
    def copy(self) -> Arm | None:
        """The base once more, None without ``control``."""
        return msgspec.structs.replace(self.base, copy=2) if self.control else None

    def trial(self, launch: int = 0) -> Trial:
        """The trial of a launch; its number makes another order of the rounds."""
        copy = (self.copy,) if self.copy else ()
        arms = (self.base, self.new, *copy)
        base = self.base
        return Trial(self.name, base.workload, base.shape, arms, base.seed + launch)


def parse_arm(text: str, option: str) -> ArmName:
    """Read ``bf16@avx512_bf16``; raises UsageError that names the option."""
    precision, _, isa = text.partition("@")
    try:
        found = ArmName(Precision(precision), Isa(isa))
    except ValueError:
        found = None
    if found is None or not found.precision.spec.isas:
        arms = (f"{p}@{isa}" for p in Precision for isa in p.spec.isas)
        raise UsageError(
            f"{option}: got '{text}', expected PRECISION@CEILING, such as {', '.join(arms)}"
        )
    return found


def pairs_of(
    base: Trial,
    new: Trial,
    *,
    base_arm: ArmName | None = None,
    new_arm: ArmName | None = None,
    control: bool = False,
) -> Iterator[Comparison]:
    """The comparisons of a workload from its trials with the engine of each side.

    Every arm with itself; or the arms that are named, of which one alone counts for both sides.
    """
    base_arm, new_arm = base_arm or new_arm, new_arm or base_arm
    for arm in base.arms:
        wanted = ArmName(arm.precision, arm.isa)
        if base_arm is not None and wanted != base_arm:
            continue
        wanted = new_arm or wanted
        for other in new.arms:
            if (other.precision, other.isa) == wanted:
                yield Comparison(
                    msgspec.structs.replace(arm, side=BASE),
                    msgspec.structs.replace(other, side=NEW),
                    control,
                )
