"""Where a machine's quiet reference is kept, and how another machine's is refused."""

from __future__ import annotations

__all__ = ["default_path", "load_calibration", "save_calibration"]

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from amx_suite.core.quiet import CALIBRATION_SCHEMA, Calibration
from amx_suite.errors import ResultsFileError
from amx_suite.host import machine_id
from amx_suite.report.files import write_atomically

_REMEDY = "run amx-suite calibrate on this machine"


class _Head(msgspec.Struct):
    """As much as must be read before the layout is known."""

    schema_version: int = 0


def default_path(
    machine: Mapping[str, str], threads: int, environ: Mapping[str, str] = os.environ
) -> Path:
    """The user's file for this machine and thread count (XDG Base Directory Specification)."""
    home = environ.get("XDG_DATA_HOME", "")
    # The specification: a relative path is to be ignored.
    data = Path(home) if Path(home).is_absolute() else Path.home() / ".local" / "share"
    name = f"{machine_id(machine)}-t{threads}.json"
    return data / "amx-suite" / "references" / name


def load_calibration(
    path: Path | None, machine: Mapping[str, str], threads: int, *, to_replace: bool = False
) -> Calibration | None:
    """The calibration at ``path``, or the user's own for this machine, None if there is none.

    One of another version of this suite is as none if it is the user's own, or ``to_replace``.
    Raises ResultsFileError for a named file that is not there, cannot be read, or is of another
    machine or thread count.
    """
    place = path or default_path(machine, threads)
    try:
        content = place.read_bytes()
    except FileNotFoundError:
        if path is None:
            return None
        raise ResultsFileError(f"there is no quiet reference {path}; {_REMEDY}") from None
    except OSError as error:
        raise ResultsFileError(
            f"the quiet reference {place} cannot be read: {error.strerror}; {_REMEDY}"
        ) from error
    try:
        version = msgspec.json.decode(content, type=_Head).schema_version
        if version != CALIBRATION_SCHEMA and (path is None or to_replace):
            return None
        if version != CALIBRATION_SCHEMA:
            raise ResultsFileError(
                f"{place} is no quiet reference that this suite reads: schema version {version}, "
                f"expected {CALIBRATION_SCHEMA}; {_REMEDY}"
            )
        found = msgspec.json.decode(content, type=Calibration)
    except msgspec.DecodeError as error:
        raise ResultsFileError(f"{place} is no quiet reference: {error}; {_REMEDY}") from error
    if not found.reference.rates:
        raise ResultsFileError(f"the quiet reference {place} has no unit's rate; {_REMEDY}")
    _check_machine(found, place, machine, threads)
    return found


def save_calibration(calibration: Calibration, path: Path) -> None:
    """Write it as JSON; the file holds the old or the new at any moment. Raises OutputError."""
    write_atomically(path, msgspec.json.format(msgspec.json.encode(calibration)).decode() + "\n")


def _check_machine(
    found: Calibration, place: Path, machine: Mapping[str, str], threads: int
) -> None:
    ours = {**machine, "threads": str(threads)}
    theirs = {**found.machine, "threads": str(found.threads)}
    differing = sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))
    if differing:
        changes = "; ".join(
            f"{name} was '{theirs.get(name)}', is '{ours.get(name)}'" for name in differing
        )
        raise ResultsFileError(
            f"the quiet reference {place} is of another machine ({changes}); {_REMEDY}"
        )
