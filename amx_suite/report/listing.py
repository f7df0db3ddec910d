"""Every run case the suite knows, with its level, gates and needs; no torch is imported for it."""

from __future__ import annotations

__all__ = ["CaseRow", "case_rows", "idle_gates", "lacks", "render_listing"]

import io
from collections.abc import Iterable, Mapping, Sequence

import msgspec
from rich import box
from rich.console import Console
from rich.table import Table

from amx_suite.core.case import Mode, Precision, Shape, Workload
from amx_suite.core.gate import Gate
from amx_suite.core.isa import Isa
from amx_suite.core.trial import Trial, arms_of
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


def idle_gates(
    rows: Iterable[CaseRow], gates: Iterable[Gate], engines: Mapping[str, Engine]
) -> tuple[str, ...]:
    """Ids of the gates that judge no case at all, as after a slip in a shape.

    A gate of what its engine does not have in this version is none of them: ``lacks`` says it.
    """
    used = {gate for row in rows for gate in row.gates}
    idle = [gate for gate in gates if gate.id not in used]
    return tuple(gate.id for gate in idle if not _is_lacked(gate, engines))


def _is_lacked(gate: Gate, engines: Mapping[str, Engine]) -> bool:
    engine = engines.get(gate.engine or "")
    return engine is not None and engine.why_not(gate.workload.mode, gate.precision) is not None


def lacks(engines: Mapping[str, Engine]) -> tuple[str, ...]:
    """A sentence for each precision of a mode's arms that an engine does not have."""
    return tuple(
        f"engine {name} has no {precision} {mode}: {reason}"
        for name, engine in engines.items()
        for mode in Mode
        for precision in dict(arms_of(mode))
        if (reason := engine.why_not(mode, precision)) is not None
    )


def render_listing(
    rows: Sequence[CaseRow],
    idle: Sequence[str],
    notes: Sequence[str | Refusal],
    *,
    width: int,
) -> str:
    """The cases as a table, what they need, the notes, and any gate that judges nothing."""
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
    lines += map(str, notes)
    lines += [f"gate {gate}: judges no case (see its shape and engine)" for gate in idle]
    return "\n".join(lines) + "\n"
