"""Floor 4: nights compared: result files read back (``store``), and what changed between two.

``match`` finds the gates that belong together, ``shift`` holds the statistics of two samples,
``compare`` the verdict on each gate, and ``render`` its table and page.
"""

from __future__ import annotations

__all__ = ["Comparison", "Night", "compare", "load_night", "render_markdown", "render_terminal"]

from amx_suite.history.compare import Comparison, compare
from amx_suite.history.render import render_markdown, render_terminal
from amx_suite.history.store import Night, load_night
