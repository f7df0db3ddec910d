"""A comparison on the terminal and as markdown."""

from __future__ import annotations

__all__ = ["render_markdown", "render_terminal"]

from collections import Counter

from rich.text import Text

from amx_suite.history.change import ASSUMED_SPREAD, Change
from amx_suite.history.compare import Comparison, GateChange
from amx_suite.report.table import Column, Table, bullets, plain

_STYLES = {
    Change.WORSE: "bold red",
    Change.BETTER: "green",
    Change.UNCHANGED: "green",
    Change.INCONCLUSIVE: "yellow",
    Change.VANISHED: "bold yellow",
}
_LEGEND = (
    "base and new are speedups; base is the geometric mean of the base runs. The change is new "
    "over base, with its 99% interval, which includes the spread between launches. "
    "Worse and better: the interval excludes no change, and the change exceeds the margin. "
    "Unchanged: it excludes every change of twice the margin."
)
_ANSWERS = {0: "NOTHING GOT WORSE", 1: "WORSE", 4: "INCONCLUSIVE"}


def render_terminal(comparison: Comparison, *, width: int, colour: bool = False) -> str:
    """The table, reasons and notes, and the answer in the last line."""
    lines = [
        *_facts(comparison),
        "",
        _table(comparison).terminal(width=width, colour=colour),
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
        _LEGEND,
    ]
    return "\n\n".join(filter(None, blocks)) + "\n"


def _answer(comparison: Comparison) -> str:
    found = Counter(gate.change for gate in comparison.gates)
    counts = ", ".join(f"{found[change]} {change}" for change in Change if found[change])
    return f"{_ANSWERS[comparison.exit_code]}: {counts or 'no base run has a gate'}"


def _table(comparison: Comparison) -> Table:
    count = len(comparison.bases)
    columns = (
        Column("gate", wraps=True),
        Column("base" if count == 1 else f"base, mean of {count}"),
        Column("new"),
        Column("change", wraps=True),
        Column("rounds", wraps=True),
        Column("verdict"),
    )
    rows = tuple(map(_row, comparison.gates))
    return Table(columns, rows, empty="No base run has a measured gate.")


def _row(gate: GateChange) -> tuple[str | Text, ...]:
    change = "-"
    if gate.ratio is not None and gate.low is not None and gate.high is not None:
        change = f"{gate.ratio - 1:+.1%} [{gate.low - 1:+.1%}, {gate.high - 1:+.1%}]"
    return (
        gate.gate,
        f"{gate.base:.2f}x",
        "-" if gate.new is None else f"{gate.new:.2f}x",
        change,
        ", ".join(map(str, (*gate.base_rounds, gate.new_rounds))),
        Text(gate.change, _STYLES[gate.change]),
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
