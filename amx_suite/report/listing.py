"""Every run case that the suite knows, with its level, gates and needs; works without torch."""

from __future__ import annotations

__all__ = ["CaseRow", "Listing", "listing"]

from collections.abc import Mapping, Sequence

import msgspec

from amx_suite.core.case import Mode, Workload
from amx_suite.core.gate import Gate
from amx_suite.core.isa import Isa
from amx_suite.core.trial import Trial, arms_of
from amx_suite.engines.base import Engine
from amx_suite.report.table import Column, Table
from amx_suite.workloads.base import ModelWorkload

_COLUMNS = (
    Column("level", align_right=True),
    Column("run case", wraps=True),
    Column("gates", wraps=True),
    Column("needs"),
)


class CaseRow(msgspec.Struct, frozen=True):
    """One run case and the ids of the gates that judge it.

    ``cpu_flags`` must be in /proc/cpuinfo. ``engine_unavailable`` says why the engine cannot be
    used here, with the remedy, or is None.
    """

    id: str
    level: int
    engine: str
    isa: Isa
    gates: tuple[str, ...]
    cpu_flags: tuple[str, ...]
    engine_unavailable: str | None


class Listing(msgspec.Struct, frozen=True):
    """All cases and gates.

    ``idle_gates`` are the ids of gates that judge no case, as after a slip in a shape. ``lacks``
    has a sentence for each precision and mode that an engine does not have in its present version;
    gates of these are not idle.
    """

    cases: tuple[CaseRow, ...]
    gates: tuple[Gate, ...]
    idle_gates: tuple[str, ...]
    lacks: tuple[str, ...]

    def terminal(self, *, width: int) -> str:
        """The cases as a table, then what they need and what else there is to know."""
        rows = tuple(
            (str(case.level), case.id, "\n".join(case.gates) or "none", case.isa)
            for case in self.cases
        )
        lines = [
            f"{isa} needs the CPU flags {', '.join(isa.spec.cpu_flags)}"
            for isa in dict.fromkeys(case.isa for case in self.cases)
        ]
        reasons = {case.engine: case.engine_unavailable for case in self.cases}
        lines += [f"engine {engine}: {why or 'available here'}" for engine, why in reasons.items()]
        lines += self.lacks
        lines += [
            f"gate {gate}: judges no case (see its shape and engine)" for gate in self.idle_gates
        ]
        table = Table(_COLUMNS, rows, empty="There is no run case.")
        return table.terminal(width=width) + "".join(f"{line}\n" for line in lines)


def listing(
    engines: Mapping[str, Engine],
    workloads: Mapping[str, ModelWorkload],
    gates: Sequence[Gate],
    *,
    threads: int,
    seed: int,
    weights: Mapping[str, str],
) -> Listing:
    """The cases of these engines by level, then in the order of the tables."""
    unavailable = {name: engine.why_unavailable() for name, engine in engines.items()}
    runs = sorted(
        (
            (level, Workload(name, mode), shape)
            for name, workload in workloads.items()
            for (mode, level), shape in workload.shapes.items()
        ),
        key=lambda run: run[0],
    )
    cases = []
    for level, workload, shape in runs:
        for name, engine in engines.items():
            trial = Trial.of(
                workload,
                name,
                shape,
                threads=threads,
                seed=seed,
                weights=weights.get(workload.model, "random"),
            )
            cases += [
                CaseRow(
                    case.id,
                    level,
                    name,
                    case.isa,
                    tuple(gate.id for gate in gates if gate.covers(case)),
                    case.isa.spec.cpu_flags,
                    unavailable[name],
                )
                for case in trial.arms
                if engine.why_not(workload.mode, case.precision) is None
            ]
    used = {gate for case in cases for gate in case.gates}
    lacked = {
        (name, mode, precision): reason
        for name, engine in engines.items()
        for mode in Mode
        for precision in dict(arms_of(mode))
        if (reason := engine.why_not(mode, precision)) is not None
    }
    return Listing(
        tuple(cases),
        tuple(gates),
        tuple(
            gate.id
            for gate in gates
            if gate.id not in used
            and (gate.engine, gate.workload.mode, gate.precision) not in lacked
        ),
        tuple(
            f"engine {name} has no {precision} {mode}: {reason}"
            for (name, mode, precision), reason in lacked.items()
        ),
    )
