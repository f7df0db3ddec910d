"""``summary.md``: verdict, findings and speed of a run, for a pull request."""

from __future__ import annotations

__all__ = ["ABOUT_SPEED", "render_markdown"]

from amx_suite.core.run import RunSummary
from amx_suite.report.accuracy import accuracy_text
from amx_suite.report.checks import counts_text
from amx_suite.report.closing import duration_text, headline
from amx_suite.report.findings import findings
from amx_suite.report.provenance import data_lines
from amx_suite.report.rows import speed_table
from amx_suite.report.table import bullets, plain
from amx_suite.report.whole_machine import whole_machine_tables

#: What the columns of a speed table mean.
ABOUT_SPEED = (
    "ms/step is the median over quiet slices, or over disturbed ones where none was quiet. A "
    "speedup is the Hodges-Lehmann estimate over the rounds' paired ratios, with its 99% interval "
    "in brackets; one without a gate is shown and not judged. Peak is operations a second over "
    "what the unit gives in a loop that does nothing else (AVX-512 FMA for FP32, tiles for AMX)."
)
_ABOUT_WHOLE_MACHINE = (
    "No gate judges these figures. Of an instance: the median, with the lowest and the highest in "
    "brackets. Last/first tenth: the rate of the last tenth of the time over that of the first; "
    "below 1 the machine slows down, as when it gets hot. Outliers are much slower than the others "
    "of their size."
)


def render_markdown(summary: RunSummary) -> str:
    """The run as GitHub-flavoured markdown that fits a pull request, ending in a newline.

    The evidence, the environment and each skipped check are in the HTML report.
    """
    speed = [speed_table(trial).markdown() for trial in summary.trials]
    machine = [table.markdown() for table in whole_machine_tables(summary.whole_machine)]
    sections = {
        "Findings": [bullets(map(str, findings(summary))) or "None."],
        "Speed": [*speed, ABOUT_SPEED] if speed else ["Nothing was timed."],
        "Whole machine": [*machine, _ABOUT_WHOLE_MACHINE] if machine else [],
        "Run": [bullets(_run(summary))],
    }
    page = [
        "# Intel AMX conformance",
        f"**{plain(f'{summary.qualification}: {headline(summary)}')}**",
    ]
    for name, blocks in sections.items():
        page += [f"## {name}", *blocks] if blocks else []
    return "\n\n".join(page) + "\n"


def _run(summary: RunSummary) -> list[str]:
    return [
        *summary.host,
        f"level {summary.level}, engines: {', '.join(summary.engines) or 'none available'}",
        f"checks: {counts_text(summary.checks)}",
        f"accuracy: {accuracy_text(summary.checks)}",
        f"started {summary.started}, took {duration_text(summary)}"
        + " (ended early)" * summary.interrupted,
        *data_lines(summary),
    ]
