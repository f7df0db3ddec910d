"""A comparison on the terminal and as markdown."""

from __future__ import annotations

__all__ = ["STYLES", "Page", "render_markdown", "render_terminal"]

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from rich.text import Text

from amx_suite.history.change import ASSUMED_SPREAD, Change
from amx_suite.history.compare import Comparison, GateChange
from amx_suite.report.table import Column, Table, bullets, plain

STYLES = {
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


class Page(NamedTuple):
    """What a command that finds changes shows, in the order of the page."""

    title: str
    answer: str
    facts: Sequence[str]
    tables: Sequence[Table]
    remarks: Sequence[str]
    legend: str

    def terminal(self, *, width: int, colour: bool) -> str:
        """The facts, tables and remarks, and the answer in the last line."""
        lines = [
            *self.facts,
            "",
            *(table.terminal(width=width, colour=colour) for table in self.tables),
            *self.remarks,
            f"amx-suite: {self.answer}",
        ]
        return "\n".join(lines) + "\n"

    def markdown(self) -> str:
        """The answer first, and the legend last, ending in a newline."""
        blocks = [
            f"# Intel AMX conformance: {self.title}",
            f"**{plain(self.answer)}**",
            bullets(self.facts),
            *(table.markdown() for table in self.tables),
            bullets(self.remarks),
            self.legend,
        ]
        return "\n\n".join(filter(None, blocks)) + "\n"


def render_terminal(comparison: Comparison, *, width: int, colour: bool = False) -> str:
    """The table, reasons and notes, and the answer in the last line."""
    return _page(comparison).terminal(width=width, colour=colour)


def render_markdown(comparison: Comparison) -> str:
    """The same as a page of GitHub-flavoured markdown, ending in a newline."""
    return _page(comparison).markdown()


def _page(comparison: Comparison) -> Page:
    return Page(
        "what changed",
        _answer(comparison),
        _facts(comparison),
        tuple(_tables(comparison)),
        _remarks(comparison),
        _LEGEND,
    )


def _answer(comparison: Comparison) -> str:
    found = Counter(gate.change for gate in comparison.gates)
    counts = ", ".join(f"{found[change]} {change}" for change in Change if found[change])
    nothing = "no base run measured a gate in a quiet round; run qualify again where it is quieter"
    return f"{_ANSWERS[comparison.exit_code]}: {counts or nothing}"


def _tables(comparison: Comparison) -> Iterator[Table]:
    """The gates, then the throughput of the whole machine where there is any."""
    count = len(comparison.bases)
    base = Column("base" if count == 1 else f"base, mean of {count}")
    columns = (
        Column("gate", wraps=True),
        base,
        Column("new"),
        Column("change", wraps=True),
        Column("rounds", wraps=True),
        Column("verdict"),
    )
    rows = tuple(map(_row, comparison.gates))
    yield Table(columns, rows, empty="Nothing to compare.")
    if comparison.throughput:
        yield Table(
            (
                Column("case", wraps=True),
                Column("instances", wraps=True),
                base,
                Column("new"),
                Column("change"),
            ),
            tuple(
                (
                    each.case,
                    each.layout,
                    f"{each.base:.1f} {each.unit}/s",
                    f"{each.new:.1f} {each.unit}/s",
                    f"{each.new / each.base - 1:+.1%}",
                )
                for each in comparison.throughput
            ),
            empty="",
            title="Throughput of the whole machine, which no gate judges",
        )


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
        Text(gate.change, STYLES[gate.change]),
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
