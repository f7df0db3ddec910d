"""Results on pytest's terminal."""

from __future__ import annotations

__all__ = ["write_line", "write_summary"]

import shutil
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from amx_suite.core.finding import Severity
from amx_suite.plugin.outcome import one_line
from amx_suite.report.explain import explained

if TYPE_CHECKING:
    import pytest

    from amx_suite.core.run import RunSummary
    from amx_suite.core.trial import TrialResult

#: On a narrower terminal the columns wrap so much that the table cannot be read.
_LEAST_WIDTH = 112


def write_line(config: pytest.Config, text: str) -> None:
    """Write a line at once, also with ``--quiet``."""
    terminal = config.pluginmanager.getplugin("terminalreporter")
    if terminal is not None:
        terminal.write_line(text)
        terminal.flush()


def write_summary(
    terminal: pytest.TerminalReporter,
    summary: RunSummary | None,
    baseline: Sequence[str],
    warnings: Sequence[str],
) -> None:
    """Write the tables of arms and gates, then the tests of which pytest's summary says nothing.

    A run that judged nothing has no ``summary``. ``baseline`` are lines on the baseline compared
    with, ``warnings`` are on rows of known defects and on waivers that are out of date.
    """
    if summary is not None:
        tables = [line for trial in summary.trials for line in _result_lines(trial)]
        _write_section(terminal, "AMX speedups", tables)
        _write_section(terminal, "AMX whole machine", list(_whole_machine_lines(summary)))
    _write_section(terminal, "AMX baseline", baseline)
    if summary is not None:
        alarms = summary.findings_of(Severity.ERROR, Severity.WARNING)
        _write_section(terminal, "host health", [str(finding) for finding in alarms])
    _write_section(terminal, "inconclusive", _tests(terminal, "inconclusive"))
    _write_section(terminal, "known defect", _tests(terminal, "known defect"))
    _write_section(terminal, "waived", _tests(terminal, "waived"))
    _write_section(terminal, "out of date", [f"warning: {warning}" for warning in warnings])


def _write_section(terminal: pytest.TerminalReporter, title: str, lines: Sequence[str]) -> None:
    if lines:
        terminal.section(title)
    for line in lines:
        terminal.write_line(line)


def _result_lines(trial: TrialResult) -> Iterator[str]:
    # Here, because it imports rich, for which most pytest runs need not wait.
    from amx_suite.report.rows import speed_table

    yield speed_table(trial).terminal(width=_width()).rstrip("\n")
    for result, lines in explained(trial):
        yield f"where the time went, {result.gate.id}: {result.verdict}"
        yield from (f"  {line}" for line in lines)


def _whole_machine_lines(summary: RunSummary) -> Iterator[str]:
    if summary.whole_machine:
        from amx_suite.report.whole_machine import whole_machine_tables

        for table in whole_machine_tables(summary.whole_machine):
            yield table.terminal(width=_width()).rstrip("\n")


def _width() -> int:
    return max(_LEAST_WIDTH, shutil.get_terminal_size().columns)


def _tests(terminal: pytest.TerminalReporter, outcome: str) -> list[str]:
    return [f"{report.nodeid} - {one_line(report)}" for report in terminal.getreports(outcome)]
