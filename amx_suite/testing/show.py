"""The results on pytest's terminal."""

from __future__ import annotations

__all__ = ["baseline", "listed", "results"]

import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING

from amx_suite.report.engines import engine_rows, engines_table, names_of
from amx_suite.report.explain import explained
from amx_suite.report.table import as_text, render_table
from amx_suite.testing.outcome import one_line

if TYPE_CHECKING:
    import pytest

    from amx_suite.core.run import RunSummary

#: Narrower than this the columns wrap so much that the table cannot be read.
_LEAST_WIDTH = 112


def results(terminal: pytest.TerminalReporter, summary: RunSummary) -> None:
    """Write the tables of arms, gates and engines in a section of their own, if a trial ran."""
    if not summary.trials:
        return
    terminal.section("AMX speedups")
    width = max(_LEAST_WIDTH, shutil.get_terminal_size().columns)
    for trial in summary.trials:
        if trial.measurement.engines:
            continue
        terminal.write_line(render_table(trial, width=width))
        for result, lines in explained(trial):
            terminal.write_line(f"where the time went, {result.gate.id}: {result.verdict}")
            for line in lines:
                terminal.write_line(f"  {line}")
    rows = engine_rows(summary.trials)
    if rows:
        table = engines_table(rows, names_of(summary.trials))
        terminal.write_line(as_text(table, width=width))


def listed(terminal: pytest.TerminalReporter, outcome: str, warnings: Sequence[str] = ()) -> None:
    """Write a line for each test of an outcome that pytest's own short summary does not know."""
    reports = terminal.getreports(outcome)
    if reports or warnings:
        terminal.section(outcome)
    for report in reports:
        terminal.write_line(f"{report.nodeid} - {one_line(report)}")
    for warning in warnings:
        terminal.write_line(f"warning: {warning}")


def baseline(terminal: pytest.TerminalReporter, lines: Sequence[str]) -> None:
    """Write what is to be known of the baseline in a section of its own; nothing for no lines."""
    if lines:
        terminal.section("AMX baseline")
    for line in lines:
        terminal.write_line(line)
