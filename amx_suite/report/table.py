"""The terminal's table of a trial."""

from __future__ import annotations

__all__ = ["as_text", "render_table", "trial_table"]

import io

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from amx_suite.core.trial import TrialResult
from amx_suite.core.verdict import Verdict
from amx_suite.report.rows import (
    ArmRow,
    Comparison,
    arm_rows,
    share_text,
    speedup_text,
    trial_title,
    verdict_text,
)

_STYLES = {
    Verdict.PASS: "green",
    Verdict.FAIL: "bold red",
    Verdict.NO_EVIDENCE: "bold red",
    Verdict.INCONCLUSIVE: "yellow",
    Verdict.NOT_APPLICABLE: "dim",
}


def trial_table(result: TrialResult) -> Table:
    """One row for each arm; speedups with interval, gates with verdict, and evidence."""
    table = Table(
        title=trial_title(result.measurement),
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE,
        padding=(0, 1, 0, 0),
    )
    table.add_column("arm", no_wrap=True)
    table.add_column("ms/step", justify="right", no_wrap=True)
    table.add_column("throughput", justify="right", no_wrap=True)
    table.add_column("peak", justify="right", no_wrap=True)
    table.add_column("over FP32", no_wrap=True)
    table.add_column("over no AMX", no_wrap=True)
    # On a narrow terminal words may wrap, numbers may not.
    table.add_column("evidence")
    for row in arm_rows(result):
        table.add_row(
            row.arm,
            "-" if row.seconds is None else f"{row.seconds * 1e3:.1f}",
            _throughput(row),
            share_text(row.share_of_peak),
            _comparison(row.versus_fp32),
            _comparison(row.versus_no_amx),
            row.evidence,
        )
    if not result.measurement.arms:
        table.caption = "no arm of this trial ran"
    return table


def render_table(result: TrialResult, *, width: int = 112, colour: bool = False) -> str:
    """The table as text of at most ``width`` columns, with terminal colours if asked."""
    return as_text(trial_table(result), width=width, colour=colour)


def as_text(table: Table, *, width: int, colour: bool = False) -> str:
    """A table as text of at most ``width`` columns, with terminal colours if asked."""
    text = io.StringIO()
    console = Console(
        file=text, width=width, force_terminal=colour, no_color=not colour, highlight=False
    )
    console.print(table)
    # Padding to the full width is of no use in a log, and git and diff complain of it.
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()).strip("\n") + "\n"


def _throughput(row: ArmRow) -> str:
    return "-" if row.throughput is None else f"{row.throughput:.1f} {row.unit}/s"


def _comparison(comparison: Comparison | None) -> Text:
    if comparison is None:
        return Text("")
    cell = Text(speedup_text(comparison.speedup))
    for gate in comparison.gates:
        cell.append("\n")
        cell.append(verdict_text(gate), style=_STYLES[gate.verdict])
    return cell
