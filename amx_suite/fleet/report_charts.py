"""Strip plots: where each machine stands in its class, figure by figure."""

from __future__ import annotations

__all__ = ["strip_charts"]

import itertools
import math
from collections import Counter
from collections.abc import Iterator, Sequence

from matplotlib.axes import Axes

from amx_suite.fleet.outliers import FEWEST_MACHINES
from amx_suite.fleet.report import FigureResult, Fleet
from amx_suite.report.drawing import BLUE, GRID, INK, RED, SMALL, SOFT, Chart, chart_rows, label_row
from amx_suite.report.drawing import svg_of as drawn

#: So many charts keep the page small, and the command quick.
MOST_CHARTS = 24
#: Dots of machines with about the same speed are stacked up to this height, in rows.
_HEIGHT, _STEP = 0.36, 0.03
#: So many stacks stand side by side.
_STACKS = 140
#: What lies farther from the median is drawn at the edge.
_WIDEST = (0.5, 1.5)


def strip_charts(fleet: Fleet) -> list[Chart]:
    """A chart for each trial of each class that is large enough, the largest classes first."""
    judged = [result for result in fleet.figures if len(result.values) >= FEWEST_MACHINES]
    groups = itertools.groupby(judged, key=lambda each: (each.class_number, each.figure.trial))
    return [
        _chart(number, trial, list(found))
        for (number, trial), found in itertools.islice(groups, MOST_CHARTS)
    ]


def _chart(number: int, trial: str, results: Sequence[FigureResult]) -> Chart:
    shares = [_shares(result) for result in results]
    low = min(0.9, *(min(each.values()) for each in shares)) - 0.02
    high = max(1.1, *(max(each.values()) for each in shares)) + 0.02
    grain = (high - low) / _STACKS
    with chart_rows(f"{number} {trial}", len(results)) as (figure, axes):
        for index, (result, of_median) in enumerate(zip(results, shares, strict=True)):
            _row(axes, index, result, of_median, grain)
        axes.set_xlim(low, high)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
        axes.set_xlabel("speed over the class's median", fontsize=SMALL)
        svg = drawn(figure)
    return Chart(
        svg,
        f"Class {number}: {trial}",
        "Dots are machines; those of about the same speed are stacked, and where a stack would be "
        "too high each dot stands for several. Red crosses are outliers, the vertical line is the "
        "median, and in a class of 50 or more the dashed one is the limit of outliers. Machines "
        "beyond half or one and a half of the median stand at the edge.",
        "; ".join(map(_words, results)),
    )


def _row(
    axes: Axes, index: int, result: FigureResult, shares: dict[str, float], grain: float
) -> None:
    slow = {outlier.machine for outlier in result.distribution.outliers}
    label_row(axes, index, result.figure.name, result.figure.text(result.median))
    bottom = index + 0.32
    axes.axhline(bottom + 0.03, color=GRID, linewidth=0.8)
    axes.plot([1, 1], [bottom - _HEIGHT, bottom + 0.03], color=INK, linewidth=0.8)
    loss = result.distribution.least_loss
    if loss is not None and 1 - loss >= _WIDEST[0]:
        limit = 1 - loss
        axes.plot([limit] * 2, [bottom - _HEIGHT, bottom + 0.03], color=SOFT, dashes=(3, 2), lw=0.8)
    for mark, colour, size, chosen in (
        (".", BLUE, 2.5, [share for name, share in shares.items() if name not in slow]),
        ("x", RED, 5.0, [share for name, share in shares.items() if name in slow]),
    ):
        points = list(_stacked(chosen, grain, bottom))
        if points:
            axes.plot(*zip(*points, strict=True), mark, color=colour, markersize=size)


def _shares(result: FigureResult) -> dict[str, float]:
    """Each machine's speed over the median, as far as it is drawn."""
    median, (low, high) = result.distribution.median, _WIDEST
    return {
        name: min(high, max(low, result.figure.speed(value) / median))
        for name, value in result.values.items()
    }


def _stacked(shares: Sequence[float], grain: float, bottom: float) -> Iterator[tuple[float, float]]:
    """The places of the dots: stacks at multiples of ``grain``, the highest as high as there is."""
    stacks = Counter(round(share / grain) for share in shares)
    per_dot = max(1.0, max(stacks.values(), default=0) * _STEP / _HEIGHT)
    for place, count in sorted(stacks.items()):
        for level in range(math.ceil(count / per_dot)):
            yield place * grain, bottom - level * _STEP


def _words(result: FigureResult) -> str:
    slow = len(result.distribution.outliers)
    return (
        f"{result.figure.name}: median {result.figure.text(result.median)} of "
        f"{len(result.values)} machines, {slow} outlier{'s' * (slow != 1)}"
    )
