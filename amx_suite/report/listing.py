"""Every run case the suite knows, with its level, gates and needs; no torch is imported for it."""

from __future__ import annotations

__all__ = ["CaseRow", "case_rows", "idle_gates", "render_listing"]

import io
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from amx_suite.core.case import Mode, Precision, Shape, Workload
from amx_suite.core.gate import Gate
from amx_suite.core.isa import Isa
from amx_suite.core.trial import Trial
from amx_suite.engines.base import Engine
from amx_suite.extensions import Refusal
from amx_suite.workloads.base import ModelWorkload


class CaseRow(msgspec.Struct, frozen=True):
    """One run case. ``gates`` are the ids of the gates that judge it.

    ``cpu_flags`` must be in /proc/cpuinfo; ``engine_unavailable`` is why the engine cannot be used
    here, with the remedy, or None.
    """

    id: str
    level: int
    engine: str
    isa: Isa
    gates: tuple[str, ...]
    cpu_flags: tuple[str, ...]
    engine_unavailable: str | None


def case_rows(
    engines: Mapping[str, Engine],
    workloads: Mapping[str, ModelWorkload],
    gates: Sequence[Gate],
    *,
    threads: int,
    seed: int,
    weights: Mapping[str, str],
) -> tuple[CaseRow, ...]:
    """Every case of these engines, by level, then in the order of the tables."""
    unavailable = {name: engine.why_unavailable() for name, engine in engines.items()}
    rows = []
    for level, mode, name, shape in _runs(workloads):
        for engine in engines.values():
            trial = Trial.of(
                Workload(name, mode),
                engine.name,
                shape,
                threads=threads,
                seed=seed,
                weights=weights.get(name, "random"),
                precisions=tuple(p for p in Precision if engine.why_not(mode, p) is None),
            )
            rows += [
                CaseRow(
                    case.id,
                    level,
                    engine.name,
                    case.isa,
                    tuple(gate.id for gate in gates if gate.covers(case)),
                    case.isa.spec.cpu_flags,
                    unavailable[engine.name],
                )
                for case in trial.arms
            ]
    return tuple(rows)


def _runs(workloads: Mapping[str, ModelWorkload]) -> list[tuple[int, Mode, str, Shape]]:
    runs = [
        (level, mode, name, shape)
        for name, workload in workloads.items()
        for (mode, level), shape in workload.shapes.items()
    ]
    return sorted(runs, key=lambda run: run[0])


def idle_gates(rows: Iterable[CaseRow], gates: Iterable[Gate]) -> tuple[str, ...]:
    """Ids of the gates that judge no case at all, as after a slip in a shape."""
    used = {gate for row in rows for gate in row.gates}
    return tuple(gate.id for gate in gates if gate.id not in used)


def render_listing(
    rows: Sequence[CaseRow], idle: Sequence[str], refused: Sequence[Refusal], *, width: int
) -> str:
    """The cases as a table, what they need, what was refused, and any gate that judges nothing."""
    table = Table(box=box.SIMPLE)
    table.add_column("level", justify="right")
    # A long id is folded, never cut: it is there to be copied.
    table.add_column("run case", overflow="fold")
    table.add_column("gates", overflow="fold")
    table.add_column("needs")
    for row in rows:
        table.add_row(str(row.level), row.id, "\n".join(row.gates) or "none", row.isa)
    unavailable = {row.engine: row.engine_unavailable for row in rows}
    text = io.StringIO()
    Console(file=text, width=width, highlight=False).print(table)
    lines = [line.rstrip() for line in text.getvalue().strip("\n").splitlines()]
    lines += [
        f"{isa} needs the CPU flags {', '.join(isa.spec.cpu_flags)}"
        for isa in dict.fromkeys(row.isa for row in rows)
    ]
    lines += [
        f"engine {engine}: {reason or 'available here'}" for engine, reason in unavailable.items()
    ]
    lines += map(str, refused)
    lines += [f"gate {gate}: judges no case (see its shape and engine)" for gate in idle]
    return "\n".join(lines) + "\n"
