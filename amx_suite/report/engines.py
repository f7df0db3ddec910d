"""Engines side by side: one row for each trial that compares them."""

from __future__ import annotations

__all__ = ["EngineCell", "EngineRow", "engine_rows", "engines_table", "names_of"]

import statistics
from collections.abc import Iterable, Sequence

import msgspec
from rich import box
from rich.table import Table

from amx_suite.core.measurement import ArmFacts, Measurement
from amx_suite.core.trial import TrialResult
from amx_suite.core.verdict import Speedup, Verdict
from amx_suite.report.rows import speedup_text
from amx_suite.trial.decide import decide_pair
from amx_suite.trial.interval import paired_speedup


class EngineCell(msgspec.Struct, frozen=True):
    """One engine's arm: its median step in seconds, and how it stands beside the first engine's.

    ``speedup`` is the first engine's seconds over this one's, paired by round; it and ``verdict``,
    which is PASS where the figures can be trusted, are None for the first and where the first has
    no arm.
    """

    seconds: float
    speedup: Speedup | None = None
    verdict: Verdict | None = None

    def __str__(self) -> str:
        words = [f"{self.seconds * 1e3:.1f} ms"]
        words += [] if self.speedup is None else [speedup_text(self.speedup)]
        words += [] if self.verdict in (None, Verdict.PASS) else [str(self.verdict)]
        return " ".join(words)


class EngineRow(msgspec.Struct, frozen=True):
    """One workload, shape and arm, such as ``bf16@amx``; cells by engine, of those that ran."""

    workload: str
    shape: str
    arm: str
    cells: dict[str, EngineCell]


def engine_rows(trials: Iterable[TrialResult]) -> tuple[EngineRow, ...]:
    """The rows of those trials that compare engines, in their order."""
    measured = [trial.measurement for trial in trials if trial.measurement.engines]
    return tuple(_row(measurement) for measurement in measured if measurement.arms)


def names_of(trials: Iterable[TrialResult]) -> tuple[str, ...]:
    """The engines that the trials compare, the first that of all baselines."""
    return tuple(dict.fromkeys(name for trial in trials for name in trial.measurement.engines))


def _row(measurement: Measurement) -> EngineRow:
    case = measurement.arms[0].case
    arms = {facts.case.engine: facts for facts in measurement.arms}
    first = arms.get(measurement.engines[0])
    cells = {
        engine: _cell(measurement, first, facts)
        for engine, facts in arms.items()
        if measurement.series(facts.case.id)
    }
    return EngineRow(str(case.workload), str(case.shape), case.arm, cells)


def _cell(measurement: Measurement, first: ArmFacts | None, facts: ArmFacts) -> EngineCell:
    seconds = statistics.median(measurement.series(facts.case.id))
    if first is None or facts is first:
        return EngineCell(seconds)
    speedup = paired_speedup(measurement.pairs(first.case.id, facts.case.id))
    decision = decide_pair(first.case, facts.case, measurement, {})
    return EngineCell(seconds, speedup, decision.verdict)


def engines_table(rows: Sequence[EngineRow], engines: Sequence[str]) -> Table:
    """The terminal's table; words may wrap, so that a verdict comes under its figures."""
    table = Table(
        title=f"engines side by side: a step, and times as fast as {engines[0]} in the same rounds",
        title_justify="left",
        box=box.SIMPLE,
        padding=(0, 1, 0, 0),
    )
    for name in ("workload", "arm"):
        table.add_column(name, no_wrap=True)
    for name in engines:
        table.add_column(name)
    for row in rows:
        cells = (str(row.cells.get(engine, "-")) for engine in engines)
        table.add_row(f"{row.workload} {row.shape}", row.arm, *cells)
    return table
