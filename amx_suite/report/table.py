"""One table for every report: plain cells that become terminal text or GitHub markdown."""

from __future__ import annotations

__all__ = ["Column", "Table", "bullets", "plain", "terminal_width"]

import io
import re
import shutil
import sys
from collections.abc import Iterable
from typing import NamedTuple

from rich import box
from rich import table as rich_table
from rich.console import Console
from rich.text import Text

#: Columns of a table that goes to a file or a pipe.
_WIDE = 160


class Column(NamedTuple):
    """A column's heading. On a narrow terminal only columns that ``wraps`` marks get narrower."""

    name: str
    align_right: bool = False
    wraps: bool = False


class Table(NamedTuple):
    """Rows under columns; ``empty`` is shown where there is no row.

    A cell is plain text, which may have several lines; as a ``Text`` it has a style as well.
    """

    columns: tuple[Column, ...]
    rows: tuple[tuple[str | Text, ...], ...]
    empty: str
    title: str = ""

    def terminal(self, *, width: int, colour: bool = False) -> str:
        """Text of at most ``width`` columns that ends in a newline, coloured if asked."""
        if not self.rows:
            return "\n".join(filter(None, (self.title, self.empty))) + "\n"
        grid = rich_table.Table(
            title=self.title,
            title_justify="left",
            box=box.SIMPLE,
            padding=(0, 1, 0, 0),
        )
        for column in self.columns:
            grid.add_column(
                column.name,
                justify="right" if column.align_right else "left",
                no_wrap=not column.wraps,
                # A long id is there to be copied, so it is folded and not cut.
                overflow="fold",
            )
        for row in self.rows:
            grid.add_row(*row)
        text = io.StringIO()
        console = Console(
            file=text,
            width=width,
            force_terminal=colour,
            no_color=not colour,
            markup=False,
            emoji=False,
            highlight=False,
        )
        console.print(grid)
        # rich pads every line to the full width, which git and diff complain about.
        return "\n".join(line.rstrip() for line in text.getvalue().splitlines()).strip("\n") + "\n"

    def markdown(self) -> str:
        """The table under its title, without a newline at the end."""
        title = f"### {plain(self.title)}\n\n" if self.title else ""
        if not self.rows:
            return title + plain(self.empty)
        rows = [
            [column.name for column in self.columns],
            ["---:" if column.align_right else "---" for column in self.columns],
            *([_markdown_cell(str(cell)) for cell in row] for row in self.rows),
        ]
        return title + "\n".join(f"| {' | '.join(row)} |" for row in rows)


def terminal_width() -> int:
    """The columns of standard output."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDE


def bullets(lines: Iterable[str]) -> str:
    """A markdown list of lines of plain text."""
    return "\n".join(f"- {plain(line)}" for line in lines)


def plain(text: str) -> str:
    """One line of markdown that shows the text as it is."""
    # Underscores inside a word need no escape.
    special = r"[\\`*<]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])"
    return re.sub(special, r"\\\g<0>", " ".join(text.split()))


def _markdown_cell(text: str) -> str:
    return "<br>".join(map(plain, text.splitlines())).replace("|", "\\|")
