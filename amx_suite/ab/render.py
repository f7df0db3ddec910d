"""A comparison of two builds on the terminal and as markdown."""

from __future__ import annotations

__all__ = ["render_markdown", "render_terminal"]

from collections import Counter
from collections.abc import Iterator

from rich.text import Text

from amx_suite.ab.judge import Pair, Report
from amx_suite.ab.measure import ROUNDS
from amx_suite.core.run import ExitCode
from amx_suite.core.verdict import Verdict
from amx_suite.history.change import Change
from amx_suite.history.render import STYLES, Page
from amx_suite.report.table import Column, Table

_ANSWERS = {
    ExitCode.OK: "NOTHING GOT WORSE",
    ExitCode.FAILED: "WORSE",
    ExitCode.NOT_USABLE: "AMX NOT USABLE",
    ExitCode.UNDECIDED: "INCONCLUSIVE",
}
_LEGEND = (
    "Both sides took turns in the same rounds. The change is that of speed, new over base, with "
    "its 99% interval, which includes the spread between launches. Worse and better: the interval "
    "excludes no change, and the change exceeds the margin. Unchanged: it excludes every change "
    "of twice the margin. Accuracy is that of new against base."
)


def render_terminal(report: Report, *, width: int, colour: bool = False) -> str:
    """The table, reasons and notes, and the answer in the last line."""
    return _page(report).terminal(width=width, colour=colour)


def render_markdown(report: Report) -> str:
    """The same as a page of GitHub-flavoured markdown, ending in a newline."""
    return _page(report).markdown()


def _page(report: Report) -> Page:
    return Page(
        "two builds, one trial",
        _answer(report),
        _facts(report),
        (_table(report),),
        _remarks(report),
        _LEGEND,
    )


def _answer(report: Report) -> str:
    found = Counter(pair.change for pair in report.pairs)
    counts = [f"{found[change]} {change}" for change in Change if found[change]]
    if report.failed_accuracy:
        counts.append(f"{report.failed_accuracy} with wrong numbers")
    if report.skipped:
        counts.append(f"{len(report.skipped)} skipped")
    if report.ended_by:
        counts.append(f"{report.ended_by} ended the run early")
    code = report.exit_code
    return f"{_ANSWERS[code]} (exit code {code:d}): {', '.join(counts) or 'nothing was compared'}"


def _facts(report: Report) -> list[str]:
    spread = f"spread between launches: {report.spread.deviation:.1%}"
    if report.spread.degrees is None:
        spread += ", assumed"
    return [
        f"base: {report.base}",
        f"new: {report.new}",
        f"{report.launches} launches of at most {ROUNDS} rounds",
        f"margin: {report.margin:.1%}, confidence: {report.confidence:.0%}",
        spread,
    ]


def _table(report: Report) -> Table:
    with_control = any(pair.control is not None for pair in report.pairs)
    columns = (
        Column("comparison", wraps=True),
        Column("base ms/step", align_right=True),
        Column("new ms/step", align_right=True),
        Column("change of speed", wraps=True),
        *((Column("control", wraps=True),) if with_control else ()),
        Column("accuracy", wraps=True),
        Column("verdict"),
    )
    rows = tuple(_row(pair, with_control=with_control) for pair in report.pairs)
    return Table(columns, rows, empty="Nothing was compared.")


def _row(pair: Pair, *, with_control: bool) -> tuple[str | Text, ...]:
    control = pair.control
    of_control = "-" if control is None else _change(control.ratio, control.low, control.high)
    return (
        pair.name,
        _milliseconds(pair.base_seconds),
        _milliseconds(pair.new_seconds),
        _change(pair.ratio, pair.low, pair.high),
        *((of_control,) if with_control else ()),
        "-" if pair.accuracy is None else pair.accuracy.text,
        Text(pair.change, STYLES[pair.change]),
    )


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{1e3 * seconds:.1f}"


def _change(ratio: float | None, low: float | None, high: float | None) -> str:
    if ratio is None or low is None or high is None:
        return "-"
    return f"{ratio - 1:+.1%} [{low - 1:+.1%}, {high - 1:+.1%}]"


def _remarks(report: Report) -> list[str]:
    return [
        *(line for pair in report.pairs for line in _pair_remarks(pair, report.margin)),
        *(f"{name}: skipped: {reason}" for name, reason in report.skipped.items()),
    ]


def _pair_remarks(pair: Pair, margin: float) -> Iterator[str]:
    if pair.reason:
        yield f"{pair.name}: {pair.reason}"
    if pair.kernels:
        yield f"{pair.name}: other kernels: {pair.kernels}"
    if pair.accuracy is not None and pair.accuracy.verdict in (Verdict.FAIL, Verdict.INCONCLUSIVE):
        yield f"{pair.name}: accuracy {pair.accuracy.verdict}: {pair.accuracy.reason}"
    if pair.noise is not None:
        floor = max(margin, pair.noise)
        yield f"{pair.name}: a change must exceed {floor:.1%} here (noise: {pair.noise:.1%})"
