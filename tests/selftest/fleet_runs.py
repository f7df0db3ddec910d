"""Runs of the machines of a fleet, and their files, made up for the selftests."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import sample_runs as runs
import stored_runs

from amx_suite.core.health import Identity
from amx_suite.core.measurement import Round, Slice
from amx_suite.core.run import RunSummary
from amx_suite.trial.interval import paired_speedup

TRAITS = {
    "cpu_vendor": "GenuineIntel",
    "isa_flags": "amx_bf16 amx_tile avx2",
    "amx_features": "AMX-TILE AMX-BF16",
    "hypervisor": "none",
    "microcode": "0x2b000590",
    "kernel": "6.1",
}


def run_of(
    name: str | None = None,
    *,
    base: RunSummary = runs.QUALIFIED,
    slower: float = 1.0,
    rounds: int = 12,
    started: str = "2025-11-22T08:00:00+00:00",
    torch: str = "2.8.0",
    **traits: str,
) -> RunSummary:
    """A run of a machine that needs ``slower`` times as long as the usual one, in every arm.

    Each arm's time differs a little by the machine's name.
    """
    generator = random.Random(name)
    steps = {
        case.id: ms / 1e3 * slower * (1 + generator.uniform(-0.01, 0.01))
        for case, ms in runs.STEP_MS.items()
    }
    slices = tuple(Slice(arm, seconds, 1) for arm, seconds in steps.items())
    trials = []
    for trial in base.trials:
        environment = msgspec.structs.replace(
            trial.measurement.environment, versions={"torch": torch}
        )
        found = runs.measured(
            trial,
            rounds=tuple(Round(index, slices) for index in range(rounds)),
            environment=environment,
        )
        gates = tuple(
            msgspec.structs.replace(gate, speedup=paired_speedup(pairs))
            for gate in found.gates
            for pairs in [found.measurement.pairs(gate.baseline_id, gate.candidate_id)]
        )
        trials.append(msgspec.structs.replace(found, gates=gates))
    return msgspec.structs.replace(
        base,
        trials=tuple(trials),
        started=started,
        identity=Identity(host_name=name),
        machine={**TRAITS, **traits},
        versions={"torch": torch},
    )


def write(folder: Path, name: str, run: RunSummary | None = None) -> Path:
    """The results file of a node, in a folder of its name."""
    path = folder / name / "results.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    return stored_runs.write(path, run or run_of(name))


def write_fleet(folder: Path, count: int) -> list[str]:
    """The results of so many equal machines; their names."""
    names = [f"n{number:02}" for number in range(count)]
    for name in names:
        write(folder, name)
    return names
