"""Floor 4: what people read: tables, the closing lines, summary.md, and how files are written.

Pure functions over ``core.run.RunSummary`` and ``core.trial.TrialResult``; only ``files`` touches
the disk.
"""

from __future__ import annotations

__all__ = [
    "closing_lines",
    "ensure_writable",
    "headline",
    "render_markdown",
    "render_table",
    "trial_table",
    "write_atomically",
]

from amx_suite.report.closing import closing_lines, headline
from amx_suite.report.files import ensure_writable, write_atomically
from amx_suite.report.markdown import render_markdown
from amx_suite.report.table import render_table, trial_table
