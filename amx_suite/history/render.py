"""A comparison on the terminal and as markdown."""

from __future__ import annotations

__all__ = ["render_markdown", "render_terminal", "verdict_line"]

from rich import box
from rich.table import Table
from rich.text import Text

from amx_suite.history.compare import Change, Comparison, GateChange
from amx_suite.report.markup import bullets, plain, table
from amx_suite.report.table import as_text

_STYLES = {
    Change.WORSE: "bold red",
    Change.BETTER: "green",
    Change.UNCHANGED: "green",
    Change.INCONCLUSIVE: "yellow",
    Change.VANISHED: "bold yellow",
}
_HEADER = ("gate", "base", "new", "change", "rounds", "verdict")
_LEGEND = (
    "base and new are speedups. The change is new over base with its {confidence:.1%} interval: "
    "Yuen's, of the rounds' log ratios. For worse and better the Mann-Whitney and the "
    "Brunner-Munzel test must reject too, with Holm's correction for the number of gates."
)
_ANSWERS = {0: "NOTHING GOT WORSE", 1: "WORSE", 4: "INCONCLUSIVE"}


def render_terminal(comparison: Comparison, *, width: int, colour: bool = False) -> str:
    """The table, why a gate is open, what to know of the runs, and the answer in the last line."""
    grid = Table(box=box.SIMPLE, padding=(0, 1, 0, 0))
    for name in _HEADER:
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
        table(_HEADER, rows) if rows else "The base has no measured gate.",
        *bullets([*reasons, *comparison.notes]),
        _LEGEND.format(confidence=comparison.confidence),
    ]
    return "\n\n".join(blocks) + "\n"


def verdict_line(comparison: Comparison) -> str:
    """The answer with the number of gates behind it."""
    counts = [f"{comparison.count(c)} {c}" for c in Change if comparison.count(c)]
    return f"{_ANSWERS[comparison.exit_code]}: {', '.join(counts) or 'the base has no gate'}"


def _facts(comparison: Comparison) -> list[str]:
    return [
        f"base: {comparison.base}, {comparison.base_started}",
        f"new: {comparison.new}, {comparison.new_started}",
        f"margin: {comparison.margin:.1%}, confidence: {comparison.confidence:.1%}",
    ]


def _cells(gate: GateChange) -> tuple[str, str, str, str, str]:
    return (
        gate.gate,
        f"{gate.base:.2f}x",
        "-" if gate.new is None else f"{gate.new:.2f}x",
        _change(gate),
        f"{gate.base_rounds}, {gate.new_rounds}",
    )


def _change(gate: GateChange) -> str:
    if gate.ratio is None or gate.low is None or gate.high is None:
        return "-"
    return f"{gate.ratio - 1:+.1%} [{gate.low - 1:+.1%}, {gate.high - 1:+.1%}]"
