"""Rows that installed packages add to the suite's tables, by entry points.

A package names a class, or any callable without arguments, in the group of a table::

    [project.entry-points."amx_suite.engines"]
    openvino = "amx_suite_openvino:OpenVino"

The entry point's name is the row's key, and must be the ``name`` of what the callable returns. An
entry point that gives no row, or one that fails when asked what the suite asks of every row before
it starts a child, is kept with its reason, so that a broken package costs nothing but its own row.
Only a name that is taken already stops a run: results under it could be of either.
"""

from __future__ import annotations

__all__ = ["Refusal", "check_offered", "extended", "refusals"]

import re
import sys
from collections.abc import Callable, Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any, TypeVar

import msgspec

from amx_suite.errors import UsageError

_GROUP = "amx_suite.{}s"
#: Names are parts of test ids, of run cases' ids and of lists separated by commas.
_NAME = re.compile(r"[a-z][a-z0-9_]*")
#: Takes seconds to import, and no parent process does, nor what a parent asks of a row.
_HEAVY = "torch"

_Row = TypeVar("_Row")


class Refusal(msgspec.Struct, frozen=True):
    """An entry point that gives no row, and why. ``clash``: another row has its name."""

    kind: str
    name: str
    entry_point: str
    package: str
    reason: str
    clash: bool = False

    def __str__(self) -> str:
        return (
            f"{self.kind} {self.name} ({self.entry_point}, of package {self.package}) cannot be "
            f"used: {self.reason}"
        )


#: Filled as the tables are built, each of them once in a process.
_refusals: list[Refusal] = []


def extended(
    kind: str, rows: Mapping[str, _Row], protocol: type, ask: Callable[[_Row], object]
) -> dict[str, _Row]:
    """The built-in rows, then those that installed packages offer, in the order of their names.

    ``kind`` is ``engine`` or ``workload``; ``protocol`` has the attributes that a row must have,
    and ``ask`` calls all that a parent process will call of it. Raises nothing: what is wrong with
    an entry point is in ``refusals``.
    """
    found = dict(rows)
    for entry in sorted(entry_points(group=_GROUP.format(kind))):
        taken = found.get(entry.name)
        if taken is not None:
            owner = f"{type(taken).__module__}:{type(taken).__qualname__}"
            reason = f"the name is taken by {owner}; rename it, or uninstall {_package(entry)}"
            _refuse(kind, entry, reason, clash=True)
            continue
        try:
            found[entry.name] = _row(entry, protocol, ask)
        # Whatever a foreign module does when it is imported or asked, and that may be to exit.
        except (Exception, SystemExit) as error:  # noqa: BLE001
            told = error.args[0] if isinstance(error, _UnfitError) else _one_line(error)
            _refuse(kind, entry, f"{told}; mend or uninstall {_package(entry)}")
    return found


def refusals() -> tuple[Refusal, ...]:
    """Every entry point that gave no row, in the order in which the tables were built."""
    return tuple(_refusals)


def check_offered(kind: str | None = None, name: str | None = None) -> None:
    """Raise UsageError for a name that two rows have, and for ``name`` if its row was refused."""
    for refusal in _refusals:
        if refusal.clash or (refusal.kind, refusal.name) == (kind, name):
            raise UsageError(str(refusal))


class _UnfitError(Exception):
    """What an entry point gave is no row."""


def _row(entry: EntryPoint, protocol: type, ask: Callable[[Any], object]) -> Any:
    if not _NAME.fullmatch(entry.name):
        raise _UnfitError("its name must be lower-case letters, digits and _, a letter first")
    light = _HEAVY not in sys.modules
    row = entry.load()()
    if light and _HEAVY in sys.modules:
        raise _UnfitError(f"it imports {_HEAVY} when loaded, which its methods alone may do")
    # A protocol's data is in its annotations and its methods are among its attributes.
    wanted = {*vars(protocol), *protocol.__annotations__}
    missing = sorted(name for name in wanted if name[0] != "_" and not hasattr(row, name))
    if missing:
        raise _UnfitError(f"it lacks {', '.join(missing)} of {protocol.__name__}")
    if row.name != entry.name:
        raise _UnfitError(f"it calls itself '{row.name}', which must be its entry point's name")
    ask(row)
    if light and _HEAVY in sys.modules:
        raise _UnfitError(
            f"it imports {_HEAVY} when asked what it has and needs, with no child yet"
        )
    return row


def _refuse(kind: str, entry: EntryPoint, reason: str, *, clash: bool = False) -> None:
    origin = f"{entry.name} = {entry.value}"
    _refusals.append(Refusal(kind, entry.name, origin, _package(entry), reason, clash))


def _package(entry: EntryPoint) -> str:
    return "unknown" if entry.dist is None else entry.dist.name


def _one_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())}"
