"""Runs compared: result files read back, and what changed since one or more base runs.

``change`` has the whole rule. ``store`` reads a file, ``previous`` one of the layout before,
``match`` finds the gates that belong together, ``compare`` applies the rule to each of them, and
``render`` shows the table and the page.
"""

from __future__ import annotations

__all__ = ["Comparison", "Night", "compare", "load_night", "render_markdown", "render_terminal"]

from amx_suite.history.compare import Comparison, compare
from amx_suite.history.render import render_markdown, render_terminal
from amx_suite.history.store import Night, load_night
