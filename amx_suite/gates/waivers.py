"""Failures that someone has accepted for a while: a TOML table of waivers."""

from __future__ import annotations

__all__ = ["Waiver", "load_waivers", "waiver_of", "warnings_of"]

import datetime as dt
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from amx_suite.documents import convert, parse_toml, read_bytes
from amx_suite.errors import GateTableError

_Text = Annotated[str, Meta(pattern=r"\S")]


class Waiver(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One ``[[waiver]]``: a gate's id, a test's id or what stands in the test's brackets.

    It holds up to and on the day ``expires``.
    """

    id: _Text
    reason: _Text
    owner: _Text
    expires: dt.date

    def is_over(self, today: dt.date) -> bool:
        """Whether it has expired."""
        return today > self.expires

    def names(self, test_id: str, message: str) -> bool:
        """Whether it is about that test, or about the gate that the test's message names."""
        inside = test_id.partition("[")[2].removesuffix("]")
        return self.id in (test_id, inside) or f"{self.id}: " in message

    def __str__(self) -> str:
        return f"waived by {self.owner} until {self.expires}: {self.reason}"


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    waiver: list[Waiver] = []


def load_waivers(path: Path | None) -> tuple[Waiver, ...]:
    """The table's waivers, none without a file; raises GateTableError that names file and fault."""
    if path is None:
        return ()

    def refuse(fault: str) -> GateTableError:
        return GateTableError(
            f"{path}: {fault}; expected [[waiver]] tables with id, reason, owner and expires (a "
            "date, such as 2026-12-31)"
        )

    content = parse_toml(read_bytes(path, refuse), refuse)
    return tuple(convert(content, _Table, refuse, "is wrong").waiver)


def waiver_of(
    waivers: Iterable[Waiver], test_id: str, message: str, today: dt.date
) -> Waiver | None:
    """The waiver that holds today for the failed test, None if there is none."""
    for waiver in waivers:
        if waiver.names(test_id, message) and not waiver.is_over(today):
            return waiver
    return None


def warnings_of(
    waivers: Iterable[Waiver], used: Collection[Waiver], today: dt.date
) -> tuple[str, ...]:
    """A sentence for each waiver that has expired, and for each that no failure needed."""
    found = []
    for waiver in waivers:
        if waiver.is_over(today):
            found.append(
                f"the waiver of {waiver.id} expired on {waiver.expires}: remove or renew it"
            )
        elif waiver not in used:
            found.append(f"the waiver of {waiver.id} was not needed in this run: remove it?")
    return tuple(found)
