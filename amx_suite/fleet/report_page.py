"""``fleet.html``: all machines on one page that needs nothing else, and no script."""

from __future__ import annotations

__all__ = ["render_page"]

from collections.abc import Iterator
from pathlib import Path

from amx_suite.core.run import ExitCode
from amx_suite.fleet import report_rows as rows
from amx_suite.fleet.outliers import FEWEST_MACHINES
from amx_suite.fleet.report import Fleet
from amx_suite.fleet.report_charts import MOST_CHARTS, strip_charts
from amx_suite.report.html import page_of

_TONES = {ExitCode.OK: "good", ExitCode.UNDECIDED: "open"}


def render_page(fleet: Fleet) -> str:
    """The page of a fleet; the same fleet, the same bytes."""
    return page_of(
        Path(__file__).with_name("fleet.html.j2"),
        verdict=rows.verdict_text(fleet),
        tone=_TONES.get(fleet.exit_code, "bad"),
        headline=rows.counts_text(fleet),
        facts=list(_facts(fleet)),
        answers=rows.answer_table(fleet),
        attention=rows.attention_table(fleet),
        missing=rows.missing_table(fleet),
        outliers=rows.outlier_table(fleet),
        deviations=rows.deviation_table(fleet),
        findings=rows.finding_table(fleet),
        classes=rows.class_table(fleet),
        few=FEWEST_MACHINES,
        small=[each.number for each in fleet.classes if len(each.machines) < FEWEST_MACHINES],
        charts=strip_charts(fleet),
        most_charts=MOST_CHARTS,
        figures=rows.figure_table(fleet),
        older=[(each.name, len(each.older), each.path) for each in fleet.machines if each.older],
        most_rows=rows.MOST_ROWS,
    )


def _facts(fleet: Fleet) -> Iterator[tuple[str, str]]:
    started = sorted(each.started for each in fleet.machines)
    if fleet.expected is not None:
        yield "Expected nodes", str(fleet.expected)
    yield "Machines with a result", str(len(fleet.machines))
    yield "Classes of machines", str(len(fleet.classes))
    if started:
        yield "First run", started[0].replace("T", " ")
        yield "Last run", started[-1].replace("T", " ")
