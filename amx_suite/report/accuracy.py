"""The figures of accuracy against their limits, of checks that passed and of those that did not."""

from __future__ import annotations

__all__ = ["accuracy_text", "figure_table"]

import math
from collections.abc import Iterable

from rich.text import Text

from amx_suite.core.agreement import Agreement
from amx_suite.core.run import Check
from amx_suite.report.checks import short_id
from amx_suite.report.table import Column, Table

_COLUMNS = (
    Column("check", wraps=True),
    Column("figure of"),
    Column("figure", wraps=True),
    Column("limit"),
    Column("error of allowed", align_right=True),
    Column("source of the limit", wraps=True),
)


def figure_table(checks: Iterable[Check]) -> Table:
    """A row for each figure, those beyond their limits first, then the closest to them.

    The error of allowed is ``Agreement.share_of_allowed``.
    """
    return Table(
        _COLUMNS,
        tuple(
            (
                short_id(check),
                figure.measure,
                Text(figure.figure_text, "" if figure.passed else "bold red"),
                figure.limit_text,
                _share(figure) or "-",
                figure.limit.source,
            )
            for check, figure in _closest_first(checks)
        ),
        empty="No figure was recorded.",
    )


def accuracy_text(checks: Iterable[Check]) -> str:
    """How many figures are within their limits, and which of these is the closest to its limit."""
    found = _closest_first(checks)
    if not found:
        return "no figure was recorded"
    within = [(check, figure) for check, figure in found if figure.passed]
    counted = f"{len(within)} of {len(found)} figures within their limits"
    if not within:
        return counted
    check, figure = within[0]
    return (
        f"{counted}, the closest: {figure.measure} {figure.figure_text} against "
        f"{figure.limit_text}, {_share(figure)} of the allowed error ({short_id(check)})"
    )


def _closest_first(checks: Iterable[Check]) -> list[tuple[Check, Agreement]]:
    found = [(check, figure) for check in checks for figure in check.figures]
    return sorted(found, key=lambda pair: (pair[1].passed, -pair[1].share_of_allowed))


def _share(figure: Agreement) -> str:
    share = figure.share_of_allowed
    return f"{share:.0%}" if math.isfinite(share) else ""
