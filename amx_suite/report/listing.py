"""Every run case that the suite knows, with its level, gates and needs; works without torch."""

from __future__ import annotations

__all__ = ["CaseRow", "LevelRow", "Listing", "WholeMachineRow", "listing"]

from collections.abc import Collection, Mapping, Sequence

import msgspec

from amx_suite.core.case import Mode, Workload
from amx_suite.core.gate import Gate
from amx_suite.core.isa import Isa
from amx_suite.core.trial import Trial, arms_of
from amx_suite.engines.base import Engine
from amx_suite.report.table import Column, Table
from amx_suite.trial.decide import gates_of
from amx_suite.trial.design_time import DesignTime
from amx_suite.trial.whole_machine import latency_case, whole_machine_cases
from amx_suite.workloads.base import ModelWorkload

#: More columns than any table has.
_NO_LIMIT = 1000


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


class WholeMachineRow(msgspec.Struct, frozen=True):
    """A case that level 4 runs on all cores at once, and for latency on one instance.

    ``name`` is what its tests have in brackets; the others are shapes. No gate judges it.
    """

    name: str
    isa: Isa
    throughput: str
    latency: str


class LevelRow(msgspec.Struct, frozen=True):
    """How long a level takes by design with one engine, on this number of cores."""

    level: int
    engine: str
    cores: int
    time: DesignTime


class Listing(msgspec.Struct, frozen=True):
    """All cases and gates, those of the whole machine, and the design times of all levels.

    ``idle_gates`` are the ids of gates that judge no case, as after a slip in a shape, and
    ``gates_elsewhere`` those of gates for other CPUs than this machine's. ``lacks``
    has a sentence for each precision and mode that an engine does not have in its present version;
    gates of these are not idle.
    """

    cases: tuple[CaseRow, ...]
    whole_machine: tuple[WholeMachineRow, ...]
    gates: tuple[Gate, ...]
    idle_gates: tuple[str, ...]
    gates_elsewhere: tuple[str, ...]
    lacks: tuple[str, ...]
    levels: tuple[LevelRow, ...]

    def terminal(self) -> str:
        """The cases as a table, then what they need and what else there is to know.

        However narrow the terminal is, ids are not folded: they are there to be copied.
        """
        cases = Table(
            (
                Column("level", align_right=True),
                Column("run case"),
                Column("gates"),
                Column("needs"),
            ),
            tuple(
                (str(case.level), case.id, "\n".join(case.gates) or "none", case.isa)
                for case in self.cases
            ),
            empty="There is no run case.",
        )
        whole_machine = Table(
            (
                Column("case on the whole machine (level 4)"),
                Column("throughput"),
                Column("latency"),
                Column("needs"),
            ),
            tuple((row.name, row.throughput, row.latency, row.isa) for row in self.whole_machine),
            empty="There is no case of the whole machine.",
        )
        flags = {case.isa: ", ".join(case.cpu_flags) for case in self.cases}
        reasons = {case.engine: case.engine_unavailable for case in self.cases}
        lines = [
            *(f"{isa} needs the CPU flags {names}" for isa, names in flags.items()),
            *(f"engine {name}: {why or 'available here'}" for name, why in reasons.items()),
            *self.lacks,
            *(
                f"gate {gate}: judges no case (see its shape and engine)"
                for gate in self.idle_gates
            ),
            *(f"gate {gate}: for a CPU with other features" for gate in self.gates_elsewhere),
            *(
                f"level {row.level}, engine {row.engine}, cores {row.cores}: by design {row.time}"
                for row in self.levels
            ),
        ]
        tables = (table.terminal(width=_NO_LIMIT) for table in (cases, whole_machine))
        return "".join([*tables, *(f"{line}\n" for line in lines)])


def listing(
    engines: Mapping[str, Engine],
    workloads: Mapping[str, ModelWorkload],
    gates: Sequence[Gate],
    levels: Sequence[LevelRow],
    *,
    fitting: Collection[Gate],
    cores: int,
    seed: int,
    weights: Mapping[str, str],
) -> Listing:
    """The cases of these engines by level, then in the order of the tables.

    ``fitting`` are those of the gates that are for this machine's CPU.
    """
    here = [gate for gate in gates if gate in fitting]
    unavailable = {name: engine.why_unavailable() for name, engine in engines.items()}
    lacked = {
        (name, mode, precision): reason
        for name, engine in engines.items()
        for mode in Mode
        for precision in dict(arms_of(mode))
        if (reason := engine.why_not(mode, precision)) is not None
    }
    trials = [
        (
            level,
            Trial.of(
                Workload(model, mode),
                name,
                shape,
                cores=cores,
                seed=seed,
                weights=weights.get(model, "random"),
            ),
        )
        for model, workload in workloads.items()
        for (mode, level), shape in workload.shapes.items()
        for name in engines
    ]
    cases = [
        CaseRow(
            id=case.id,
            level=level,
            engine=case.engine,
            isa=case.isa,
            gates=tuple(gate.id for gate, judged, _ in gates_of(trial, here) if judged == case),
            cpu_flags=case.isa.spec.cpu_flags,
            engine_unavailable=unavailable[case.engine],
        )
        for level, trial in trials
        for case in trial.arms
        if (case.engine, case.workload.mode, case.precision) not in lacked
    ]
    whole_machine = [
        WholeMachineRow(case.name, case.isa, str(case.shape), str(latency_case(case).shape))
        for case in whole_machine_cases(trial for _, trial in trials)
        if (case.engine, case.workload.mode, case.precision) not in lacked
    ]
    idle = [
        gate.id
        for gate in here
        if (gate.engine, gate.workload.mode, gate.precision) not in lacked
        # Whatever the cores of this machine's instance.
        and not any(
            msgspec.structs.replace(gate, cores=None).covers(case)
            for _, trial in trials
            for case in trial.arms
        )
    ]
    lacks = [
        f"engine {name} has no {precision} {mode}: {reason}"
        for (name, mode, precision), reason in lacked.items()
    ]
    cases.sort(key=lambda case: case.level)
    return Listing(
        cases=tuple(cases),
        whole_machine=tuple(whole_machine),
        gates=tuple(gates),
        idle_gates=tuple(idle),
        gates_elsewhere=tuple(gate.id for gate in gates if gate not in fitting),
        lacks=tuple(lacks),
        levels=tuple(levels),
    )
