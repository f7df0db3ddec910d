"""Failures that are a defect of a library, and no finding about the machine."""

from __future__ import annotations

__all__ = ["KnownDefect", "known_defect", "known_defects", "stale"]

import functools
from collections.abc import Iterable
from pathlib import Path

import msgspec
from packaging.specifiers import SpecifierSet

from amx_suite.core.packages import installed

_TABLE = Path(__file__).with_name("known_defects.toml")


class KnownDefect(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One row of ``known_defects.toml``, where the fields are explained."""

    tests: tuple[str, ...]
    symptom: str
    library: str
    versions: str
    report: str
    meaning: str
    seen: str

    @property
    def is_installed(self) -> bool:
        """Whether the library is here in one of the versions that have the defect."""
        found = installed(self.library)
        return found is not None and SpecifierSet(self.versions).contains(found, prereleases=True)

    def __str__(self) -> str:
        return f"{self.library} {self.versions}: {self.meaning} ({self.report})"


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    defect: tuple[KnownDefect, ...] = ()


@functools.cache
def known_defects() -> tuple[KnownDefect, ...]:
    """The rows that apply to the libraries installed here."""
    table = msgspec.toml.decode(_TABLE.read_bytes(), type=_Table)
    return tuple(defect for defect in table.defect if defect.is_installed)


def known_defect(test_id: str, message: str) -> KnownDefect | None:
    """The defect that explains the failure of that test with that message, or None."""
    name = _name(test_id)
    for defect in known_defects():
        if name in defect.tests and defect.symptom in message:
            return defect
    return None


def stale(passed: Iterable[str]) -> tuple[str, ...]:
    """A sentence for each listed test that passed though its library has the defect."""
    names = {_name(test_id) for test_id in passed}
    return tuple(
        f"{test} passed though {defect.library} {defect.versions} is listed with {defect.report}: "
        "the row of known_defects.toml is out of date"
        for defect in known_defects()
        for test in defect.tests
        if test in names
    )


def _name(test_id: str) -> str:
    return test_id.rpartition("::")[2]
