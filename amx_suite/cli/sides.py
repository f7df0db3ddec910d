"""The two sides of a comparison: their Pythons and engines, as the user named them."""

from __future__ import annotations

__all__ = ["Sides", "engines_of"]

import argparse
import os
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Self

import msgspec

from amx_suite.ab.comparison import BASE, NEW
from amx_suite.child.interpreter import Interpreter
from amx_suite.core.case import Arm
from amx_suite.core.packages import installed_in
from amx_suite.engines import ENGINES
from amx_suite.errors import UsageError
from amx_suite.plugin.option_values import one_of
from amx_suite.plugin.options import Settings


class Sides(msgspec.Struct, frozen=True):
    """The interpreters of both sides, by side."""

    by_name: dict[str, Interpreter]

    @classmethod
    def read(cls, arguments: argparse.Namespace) -> Self:
        """Inspect those that the user named; raises UsageError."""
        named = {side: getattr(arguments, side) for side in (BASE, NEW)}
        return cls({s: Interpreter.inspect(p or sys.executable) for s, p in named.items()})

    @property
    def same(self) -> bool:
        """Whether both sides have one Python."""
        return self.by_name[BASE].path == self.by_name[NEW].path

    def other(self, side: str) -> Interpreter | None:
        """The Python of a side, None if it is this process's own."""
        found = self.by_name[side]
        return None if found.path == str(Path(sys.executable).absolute()) else found

    def why_unavailable(self, side: str, engine: str) -> str | None:
        """Why a side cannot use an engine, None if it can."""
        with self._packages_of(side):
            return ENGINES[engine].why_unavailable()

    def why_not(self, arm: Arm) -> str | None:
        """Why the engine of an arm's side does not have the arm, None if it does."""
        with self._packages_of(arm.side):
            return ENGINES[arm.engine].why_not(arm.workload.mode, arm.precision)

    def _packages_of(self, side: str) -> AbstractContextManager[None]:
        """Within it engines speak of a side's packages."""
        other = self.other(side)
        return installed_in(other.packages if other else None)


def engines_of(
    arguments: argparse.Namespace, settings: Settings, sides: Sides
) -> tuple[tuple[str, str], ...]:
    """The engines of both sides; several pairs if the user named several engines."""
    own = {side: getattr(arguments, f"{side}_engine") for side in (BASE, NEW)}
    for side, name in own.items():
        if name:
            one_of("engine", ENGINES)(name, f"--{side}-engine")
    asked: tuple[str, ...] = ()
    if arguments.amx_engine or os.environ.get("AMX_SUITE_ENGINE"):
        asked = settings.engines
    elif not all(own.values()):
        asked = tuple(
            name
            for name in ENGINES
            if all(sides.why_unavailable(side, own[side] or name) is None for side in own)
        )[:1]
    common = asked or ("",)
    found = tuple(dict.fromkeys((own[BASE] or name, own[NEW] or name) for name in common))
    for pair in found:
        for side, name in zip((BASE, NEW), pair, strict=True):
            reason = sides.why_unavailable(side, name) if name else "both sides lack a common one"
            if reason is not None:
                raise UsageError(
                    f"engine '{name or 'any'}' cannot be used by the {side} side, "
                    f"{sides.by_name[side].path}: {reason}"
                )
    return found
