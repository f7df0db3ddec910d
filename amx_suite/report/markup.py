"""Pieces of GitHub-flavoured markdown."""

from __future__ import annotations

__all__ = ["bullets", "listed", "plain", "table"]

import re
from collections.abc import Iterable, Sequence


def bullets(lines: Iterable[str]) -> list[str]:
    """One block, its lines taken as plain text; nothing for no lines."""
    items = [plain(line.strip()) for line in lines]
    return [listed(items)] if items else []


def listed(items: Iterable[str]) -> str:
    """A list of items that are markdown already."""
    return "\n".join(f"- {item}" for item in items)


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; its cells are plain text."""
    lines = [header, ["---"] * len(header), *([_cell(c) for c in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(text: str) -> str:
    return plain(text).replace("|", "\\|")


def plain(text: str) -> str:
    """One line that markdown shows as it is; underscores inside a word need no escape."""
    special = r"[\\`*<]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])"
    return re.sub(special, r"\\\g<0>", " ".join(text.split()))
