"""A comparison on the terminal and as markdown."""

from __future__ import annotations

__all__ = ["render_markdown", "render_terminal"]

from amx_suite.history.change import ASSUMED_SPREAD, Change
from amx_suite.history.compare import Comparison, GateChange
from amx_suite.report.table import Cell, Column, Table, bullets, plain

_STYLES = {
    Change.WORSE: "bold red",
    Change.BETTER: "green",
    Change.UNCHANGED: "green",
    Change.INCONCLUSIVE: "yellow",
    Change.VANISHED: "bold yellow",
}
_LEGEND = (
    "base and new are speedups; base is the geometric mean of the base runs. The change is new "
    "over base, with its {confidence:.0%} interval, which includes the spread between launches. "
    "Worse and better: the interval excludes no change, and the change exceeds the margin. "
    "Unchanged: it excludes every change of twice the margin."
)
_ANSWERS = {0: "NOTHING GOT WORSE", 1: "WORSE", 4: "INCONCLUSIVE"}


def render_terminal(comparison: Comparison, *, width: int, colour: bool = False) -> str:
    """The table, reasons and notes, and the answer in the last line."""
    table = _table(comparison).terminal(width=width, colour=colour)
    lines = [
        *_facts(comparison),
        "",
        table,
        *_remarks(comparison),
        f"amx-suite: {_answer(comparison)}",
    ]
    return "\n".join(lines) + "\n"


def render_markdown(comparison: Comparison) -> str:
    """The same as a page of GitHub-flavoured markdown, ending in a newline."""
    blocks = [
        "# Intel AMX conformance: what changed",
        f"**{plain(_answer(comparison))}**",
        bullets(_facts(comparison)),
        _table(comparison).markdown(),
        bullets(_remarks(comparison)),
        _LEGEND.format(confidence=comparison.confidence),
    ]
    return "\n\n".join(filter(None, blocks)) + "\n"


def _answer(comparison: Comparison) -> str:
    counts = [f"{comparison.count(c)} {c}" for c in Change if comparison.count(c)]
    return f"{_ANSWERS[comparison.exit_code]}: {', '.join(counts) or 'no base run has a gate'}"


def _table(comparison: Comparison) -> Table:
    count = len(comparison.bases)
    columns = (
        Column("gate", wraps=True),
        Column("base" if count == 1 else f"base, mean of {count}"),
        Column("new"),
        Column("change", wraps=True),
        Column("rounds"),
        Column("verdict"),
    )
    rows = tuple(map(_row, comparison.gates))
    return Table(columns, rows, empty="No base run has a measured gate.")


def _row(gate: GateChange) -> tuple[str | Cell, ...]:
    change = "-"
    if gate.ratio is not None and gate.low is not None and gate.high is not None:
        change = f"{gate.ratio - 1:+.1%} [{gate.low - 1:+.1%}, {gate.high - 1:+.1%}]"
    least, most = min(gate.base_rounds), max(gate.base_rounds)
    bases = f"{least}" if least == most else f"{least}-{most}"
    return (
        gate.gate,
        f"{gate.base:.2f}x",
        "-" if gate.new is None else f"{gate.new:.2f}x",
        change,
        f"{bases}, {gate.new_rounds}",
        Cell(gate.change, _STYLES[gate.change]),
    )


def _facts(comparison: Comparison) -> list[str]:
    count = len(comparison.bases)
    bases = [
        f"base{'' if count == 1 else f' {number} of {count}'}: {run.path}, {run.started}"
        for number, run in enumerate(comparison.bases, 1)
    ]
    spread = f"spread between launches: {comparison.spread.deviation:.1%}"
    if comparison.spread.degrees is None:
        spread += ", assumed: name three or more base runs to measure it"
    else:
        spread += f", from {count} base runs and the {ASSUMED_SPREAD:.0%} assumed"
    return [
        *bases,
        f"new: {comparison.new.path}, {comparison.new.started}",
        f"margin: {comparison.margin:.1%}, confidence: {comparison.confidence:.0%}",
        spread,
    ]


def _remarks(comparison: Comparison) -> list[str]:
    reasons = [f"{gate.gate}: {gate.reason}" for gate in comparison.gates if gate.reason]
    return [*reasons, *comparison.notes]
