"""A comparison on the terminal and as markdown."""

from __future__ import annotations

__all__ = ["render_markdown", "render_terminal", "verdict_line"]

from rich import box
from rich.table import Table
from rich.text import Text

from amx_suite.history.change import ASSUMED_SPREAD, Change
from amx_suite.history.compare import Comparison, GateChange
from amx_suite.report.markup import bullets, plain, table
from amx_suite.report.table import as_text

_STYLES = {
    Change.WORSE: "bold red",
    Change.BETTER: "green",
    Change.UNCHANGED: "green",
    Change.INCONCLUSIVE: "yellow",
    Change.VANISHED: "bold yellow",
}
_LEGEND = (
    "base and new are speedups, base the geometric mean of the base runs. The change is new over "
    "base with its {confidence:.0%} interval, which holds the spread between launches. Worse and "
    "better: the interval excludes no change, and the change exceeds the margin. Unchanged: it "
    "excludes every change of twice the margin."
)
_ANSWERS = {0: "NOTHING GOT WORSE", 1: "WORSE", 4: "INCONCLUSIVE"}


def render_terminal(comparison: Comparison, *, width: int, colour: bool = False) -> str:
    """The table, why a gate is open, what to know of the runs, and the answer in the last line."""
    grid = Table(box=box.SIMPLE, padding=(0, 1, 0, 0))
    for name in _header(comparison):
        # An id is folded, never cut: it is there to be copied.
        grid.add_column(name, overflow="fold", no_wrap=name not in ("gate", "change"))
    for gate in comparison.gates:
        grid.add_row(*_cells(gate), Text(gate.change, style=_STYLES[gate.change]))
    lines = [*_facts(comparison), "", as_text(grid, width=width, colour=colour).rstrip("\n"), ""]
    lines += [f"{gate.gate}: {gate.reason}" for gate in comparison.gates if gate.reason]
    lines += comparison.notes
    return "\n".join([*lines, f"amx-suite: {verdict_line(comparison)}"]) + "\n"


def render_markdown(comparison: Comparison) -> str:
    """The same as a page of GitHub-flavoured markdown, ending in a newline."""
    rows = [(*_cells(gate), str(gate.change)) for gate in comparison.gates]
    reasons = [f"{gate.gate}: {gate.reason}" for gate in comparison.gates if gate.reason]
    blocks = [
        "# Intel AMX conformance: what changed",
        f"**{plain(verdict_line(comparison))}**",
        *bullets(_facts(comparison)),
        table(_header(comparison), rows) if rows else "No base run has a measured gate.",
        *bullets([*reasons, *comparison.notes]),
        _LEGEND.format(confidence=comparison.confidence),
    ]
    return "\n\n".join(blocks) + "\n"


def verdict_line(comparison: Comparison) -> str:
    """The answer with the number of gates behind it."""
    counts = [f"{comparison.count(c)} {c}" for c in Change if comparison.count(c)]
    return f"{_ANSWERS[comparison.exit_code]}: {', '.join(counts) or 'no base run has a gate'}"


def _header(comparison: Comparison) -> tuple[str, ...]:
    count = len(comparison.bases)
    base = "base" if count == 1 else f"base, mean of {count}"
    return ("gate", base, "new", "change", "rounds", "verdict")


def _facts(comparison: Comparison) -> list[str]:
    count = len(comparison.bases)
    return [
        *(
            f"base{'' if count == 1 else f' {number} of {count}'}: {run.path}, {run.started}"
            for number, run in enumerate(comparison.bases, 1)
        ),
        f"new: {comparison.new.path}, {comparison.new.started}",
        f"margin: {comparison.margin:.1%}, confidence: {comparison.confidence:.0%}",
        f"spread between launches: {_spread(comparison)}",
    ]


def _spread(comparison: Comparison) -> str:
    deviation = f"{comparison.spread.deviation:.1%}"
    if comparison.spread.degrees is None:
        return f"{deviation}, assumed: name three or more base runs to measure it"
    assumed = f"{ASSUMED_SPREAD:.0%}"
    return f"{deviation}, from {len(comparison.bases)} base runs and the {assumed} assumed"


def _cells(gate: GateChange) -> tuple[str, str, str, str, str]:
    return (
        gate.gate,
        f"{gate.base:.2f}x",
        "-" if gate.new is None else f"{gate.new:.2f}x",
        _change(gate),
        f"{_bases_rounds(gate.base_rounds)}, {gate.new_rounds}",
    )


def _bases_rounds(rounds: tuple[int, ...]) -> str:
    least, most = min(rounds), max(rounds)
    return f"{least}" if least == most else f"{least}-{most}"


def _change(gate: GateChange) -> str:
    if gate.ratio is None or gate.low is None or gate.high is None:
        return "-"
    return f"{gate.ratio - 1:+.1%} [{gate.low - 1:+.1%}, {gate.high - 1:+.1%}]"
