"""The frame of every chart: rows under one another, drawn as SVG, the same for the same numbers.

They are drawn for a width of 360 pixels, at which their text has its natural size, so that they can
be read on a telephone and stand side by side on a desk. Text stays text.
"""

from __future__ import annotations

__all__ = [
    "BLUE",
    "EDGE",
    "GRID",
    "INK",
    "RED",
    "SMALL",
    "SOFT",
    "Chart",
    "chart_rows",
    "label_row",
    "svg_of",
]

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

#: Pixels; of a row of bars, and of the axis below the last row.
_WIDTH = 360
_ROW, _AXIS = 60, 38
EDGE = 14
INK, SOFT, GRID = "#1f2933", "#52606d", "#d9dfe5"
BLUE, RED = "#2b5f8f", "#a3372b"
SMALL = 10.0

_STYLE: dict[Any, object] = {
    "svg.fonttype": "none",
    # Names are no formulas.
    "text.parse_math": False,
    "font.size": 11.0,
    "text.color": INK,
    "axes.labelcolor": SOFT,
    "axes.edgecolor": SOFT,
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "hatch.linewidth": 0.7,
}


class Chart(NamedTuple):
    """An SVG element, its title, what its marks mean, and its content in words."""

    svg: str
    title: str
    legend: str
    words: str


def label_row(axes: Axes, index: int, name: str, right: str, below: str = "") -> None:
    """Two names above a row, and a line of words below it."""
    across = axes.get_yaxis_transform()
    axes.text(0, index - 0.2, name, transform=across, va="bottom", fontweight="bold")
    axes.text(1, index - 0.2, right, transform=across, va="bottom", ha="right", color=SOFT)
    axes.text(0, index + 0.2, below, transform=across, va="top", fontsize=SMALL)


@contextmanager
def chart_rows(name: str, rows: int, *, left: int = EDGE) -> Iterator[tuple[Figure, Axes]]:
    """A figure with one row under the other, at 0, 1, 2 and so on along its axis.

    No other chart on the page has the name.
    """
    height = rows * _ROW + _AXIS
    with mpl.rc_context():
        # Whatever style the user has set for his own figures.
        mpl.rcdefaults()
        # From the salt come the ids of an SVG, which must be unique on the page.
        mpl.rcParams.update({**_STYLE, "svg.hashsalt": name})
        figure = Figure(figsize=(_WIDTH / 72, height / 72), dpi=72)
        across = (left / _WIDTH, (_WIDTH - left - EDGE) / _WIDTH)
        axes = figure.add_axes((across[0], _AXIS / height, across[1], rows * _ROW / height))
        axes.set_ylim(rows - 0.5, -0.5)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        yield figure, axes


def svg_of(figure: Figure) -> str:
    """The figure as an SVG element that changes nothing else on its page."""
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None}, transparent=True)
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    # A style in a chart would be one of the whole page.
    for unwanted in (r"<metadata>.*?</metadata>", r"<style.*?</style>", r' id="[\w.]+_\d+"'):
        svg = re.sub(unwanted, "", svg, flags=re.DOTALL)
    root = r'<svg [^>]*?viewBox="([^"]*)"[^>]*>'
    return re.sub(root, r'<svg viewBox="\1" aria-hidden="true">', svg, count=1).strip()
