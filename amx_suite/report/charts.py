"""The charts of a trial, as SVG that is the same for the same numbers.

What a colour says, a hatch and words beside it say as well.
"""

from __future__ import annotations

__all__ = ["FAMILY_COLOURS", "rounds_chart", "speedup_chart", "time_chart"]

from collections.abc import Sequence
from itertools import accumulate, pairwise
from operator import attrgetter

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from amx_suite.core.evidence import Family
from amx_suite.core.measurement import Measurement
from amx_suite.core.trial import TrialResult
from amx_suite.core.verdict import Verdict
from amx_suite.report.drawing import (
    BLUE,
    GRID,
    INK,
    RED,
    SMALL,
    SOFT,
    Chart,
    chart_rows,
    label_row,
    svg_of,
)
from amx_suite.report.explain import UNSEEN, time_shares, time_text
from amx_suite.report.rows import Comparison, comparisons, speedup_text

#: A smaller share of the time is not drawn.
_LEAST_SHARE = 0.005
#: So many small letters fit into the width.
_MOST_LETTERS = 60

#: By ``Family.isa``; the empty one is of time in no kernel.
_ISA_COLOURS = {"AMX": BLUE, "AVX-512": "#b5803c", "other": "#8b97a3", "": "#e4e8ec"}
_HATCHES = {"AVX-512": "////"}
#: The colour of each family of kernels.
FAMILY_COLOURS: dict[str, str] = {family: _ISA_COLOURS[family.isa] for family in Family}

#: Of a speedup, by the verdict on its gate; None where it has no gate.
_BARS: dict[Verdict | None, str] = {
    Verdict.PASS: BLUE,
    Verdict.FAIL: RED,
    Verdict.NO_EVIDENCE: RED,
    Verdict.INCONCLUSIVE: "#d8b26a",
    None: "#b8c0c9",
}


def speedup_chart(trial: TrialResult) -> Chart | None:
    """A bar for each speedup with its interval and the minima of its gates; None without any."""
    found = list(comparisons(trial))
    if not found:
        return None
    with chart_rows(_name_of(trial, "speedups"), len(found)) as (figure, axes):
        for index, comparison in enumerate(found):
            _speedup_bar(axes, index, comparison)
        axes.set_xlim(0, 1.05 * max([1.2, *(r for c in found for r in _ratios(c))]))
        axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
        svg = svg_of(figure)
    return Chart(
        svg,
        "Speedups",
        "Bars are speedups, lines on them their 99 % intervals, black marks the gates' minima, "
        "and thin lines are 1x. Undecided bars are hatched, pale ones have no gate.",
        "; ".join(f"{_name(comparison)}: {_result(comparison)}" for comparison in found),
    )


def time_chart(trial: TrialResult) -> Chart | None:
    """The operations that took each arm's evidence step; None if no step was timed."""
    arms = []
    for facts in trial.measurement.arms:
        evidence = facts.evidence
        if evidence is not None and evidence.step_milliseconds > 0:
            shares = time_shares(evidence) or {UNSEEN: 1.0}
            seen = [
                (f"{' '.join(where).strip()} {share:.0%}", where[1], share)
                for where, share in shares.items()
                if share >= _LEAST_SHARE
            ]
            arms.append((facts.case.arm, time_text(evidence), seen))
    if not arms:
        return None
    with chart_rows(_name_of(trial, "time"), len(arms)) as (figure, axes):
        for index, (arm, whole, seen) in enumerate(arms):
            label_row(axes, index, arm, whole, _fitting([words for words, _, _ in seen]))
            lefts = [0.0, *accumulate(share for _, _, share in seen)]
            for (_, isa, share), left in zip(seen, lefts, strict=False):
                _bar(axes, index, left, share, _ISA_COLOURS[isa], _HATCHES.get(isa, ""))
        axes.set_xlim(0, 1)
        axes.set_xticks([0, 0.5, 1], ["0%", "50%", "100%"])
        svg = svg_of(figure)
    return Chart(
        svg,
        "Where the time went",
        "Operations of the step in which the kernel log was on, the largest first: blue on AMX, "
        "brown and hatched on AVX-512, grey on others or not told by the log. Shares are of the "
        "step, or of all logged times where these add up to more, as products that run side by "
        "side are logged with too long times. Unseen, the palest, is time in no logged kernel: "
        "Python, and libraries that log nothing.",
        "; ".join(
            f"{arm}, {whole}: " + ", ".join(words for words, _, _ in seen)
            for arm, whole, seen in arms
        ),
    )


def rounds_chart(trial: TrialResult) -> Chart | None:
    """Milliseconds per step of every slice over the trial's time; None without any slice."""
    measurement = trial.measurement
    arms = [facts.case for facts in measurement.arms if measurement.series(facts.case.id)]
    if not arms:
        return None
    rounds = measurement.rounds
    edges = _edges(measurement)
    middles = [(start + end) / 2 for start, end in pairwise(edges)]
    quiet, busy = (
        [(middle, piece) for r, middle in zip(rounds, middles, strict=True) for piece in slices(r)]
        for slices in (attrgetter("slices"), attrgetter("disturbed"))
    )
    with chart_rows(_name_of(trial, "rounds"), len(arms), left=44) as (figure, axes):
        ticks = []
        for index, case in enumerate(arms):
            own = [piece for _, piece in (*quiet, *busy) if piece.arm_id == case.id]
            highest = max(piece.seconds_per_step for piece in own)
            bottom = index + 0.36
            for found, mark, colour in ((busy, "x", RED), (quiet, "o", BLUE)):
                points = [
                    (middle, bottom - 0.46 * piece.seconds_per_step / highest)
                    for middle, piece in found
                    if piece.arm_id == case.id
                ]
                if points:
                    axes.plot(*zip(*points, strict=True), mark, color=colour, markersize=4.5)
            axes.axhline(bottom, color=GRID, linewidth=0.8)
            label_row(axes, index, case.arm, "ms per step")
            ticks += [(bottom, "0"), (bottom - 0.46, f"{highest * 1e3:.4g}")]
        axes.set_yticks(*zip(*ticks, strict=True))
        axes.tick_params(left=False)
        axes.set_xlim(0, edges[-1])
        if measurement.launch(1):
            start = edges[len(measurement.launch(0))]
            axes.axvline(start, color=SOFT, linewidth=0.8, linestyle=":")
        axes.set_xlabel("seconds" if edges[-1] != len(rounds) else "rounds", fontsize=SMALL)
        svg = svg_of(figure)
    return Chart(
        svg,
        "Rounds over time",
        "Dots are quiet slices. Crosses are disturbed ones, which were repeated and count for "
        "nothing. Each stands at the middle of its round. A dotted line is where the second launch "
        "begins.",
        f"{len(rounds)} rounds with {len(quiet)} quiet and {len(busy)} disturbed slices",
    )


def _name(comparison: Comparison) -> str:
    return f"{comparison.candidate} over {comparison.baseline}"


def _result(comparison: Comparison) -> str:
    """Speedup, minimum and verdict; ``no quiet round`` where nothing was decided from."""
    verdicts = {result.verdict for result in comparison.gates}
    words = speedup_text(comparison.speedup)
    if comparison.speedup is None:
        words = "did not run" if Verdict.NOT_APPLICABLE in verdicts else "no quiet round"
    gates = [f"minimum {r.gate.minimum:.2f}, {r.verdict}" for r in comparison.gates]
    return ", ".join([words, *gates] if gates else [words, "no gate"])


def _ratios(comparison: Comparison) -> list[float]:
    """All numbers of a comparison that can be drawn."""
    speedup, minima = comparison.speedup, [result.gate.minimum for result in comparison.gates]
    found = [] if speedup is None else [speedup.ratio, speedup.low or 0.0, speedup.high or 0.0]
    return [*found, *minima]


def _speedup_bar(axes: Axes, index: int, comparison: Comparison) -> None:
    label_row(axes, index, comparison.candidate, f"over {comparison.baseline}", _result(comparison))
    verdict = next((result.verdict for result in comparison.gates), None)
    speedup = comparison.speedup
    if speedup is not None:
        hatch = "////" if verdict is Verdict.INCONCLUSIVE else ""
        _bar(axes, index, 0.0, speedup.ratio, _BARS.get(verdict, _BARS[None]), hatch)
        if speedup.low is not None and speedup.high is not None:
            axes.plot([speedup.low, speedup.high], [index, index], color=INK, linewidth=1.5)
    axes.plot([1, 1], [index - 0.17, index + 0.17], color=SOFT, linewidth=0.8)
    for result in comparison.gates:
        mark = [result.gate.minimum] * 2
        axes.plot(mark, [index - 0.17, index + 0.17], color="black", linewidth=2.5)


def _bar(axes: Axes, index: int, left: float, width: float, colour: str, hatch: str) -> None:
    axes.barh(index, width, 0.26, left, color=colour, hatch=hatch, edgecolor="white", linewidth=0.6)


def _fitting(words: Sequence[str]) -> str:
    """As many of the words as fit into a line below a bar."""
    ends = accumulate(len(word) + 2 for word in words)
    kept = words[: sum(end < _MOST_LETTERS for end in ends)]
    return ", ".join(kept) + ", ..." * (len(kept) < len(words))


def _edges(measurement: Measurement) -> list[float]:
    """Where each round begins, and the end of the last one, in seconds of measuring.

    Files without the rounds' seconds have the number of the round instead.
    """
    seconds = [round_.seconds for round_ in measurement.rounds]
    return [0.0, *accumulate(seconds if all(seconds) else [1.0] * len(seconds))]


def _name_of(trial: TrialResult, kind: str) -> str:
    return f"{trial.measurement.trial!a} {kind}"
