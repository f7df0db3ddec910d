"""The quiet reference of a machine: measured, described, stored and loaded."""

from __future__ import annotations

__all__ = [
    "DEFAULT_SECONDS",
    "calibrate",
    "default_path",
    "describe",
    "ensure_storable",
    "is_worth_keeping",
    "load_calibration",
    "save_calibration",
    "stored_calibration",
]

import contextlib
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from amx_suite.core.conditions import differences
from amx_suite.core.quiet import (
    CALIBRATION_SCHEMA,
    MEMORY_WITHIN,
    Calibration,
    Reading,
    Reference,
)
from amx_suite.core.units import Unit
from amx_suite.documents import convert, parse_json, read_bytes
from amx_suite.errors import OutputError, ResultsFileError
from amx_suite.files import check_file, ensure_writable, write_atomically
from amx_suite.folders import user_folder
from amx_suite.host.fingerprint import machine_id

if TYPE_CHECKING:
    from amx_suite.worker.unit_probe import UnitProbe

#: Some hundreds of readings: longer than a neighbour's bursts of a few seconds.
DEFAULT_SECONDS = 30.0

_OTHER_PLACE = "name one in XDG_DATA_HOME, or a file with --reference"


def calibrate(
    prober: UnitProbe,
    seconds: float,
    *,
    theory: Mapping[Unit, float],
    machine: dict[str, str],
    cores: int,
    clock: Callable[[], float] = time.monotonic,
    progress: Callable[[float], None] | None = None,
) -> Calibration:
    """Read the units for ``seconds``, at least once, and derive their quiet rates.

    The first reading does not count: in it the probe assembles its loops and fills its buffers.
    ``theory`` is the rate of each unit of a core per cycle, where it is known. ``progress`` gets
    the seconds passed before each reading.
    """
    taken = datetime.now(UTC).isoformat(timespec="seconds")
    prober.probe()
    series: list[Reading] = []
    began = clock()
    while (passed := clock() - began) < seconds or not series:
        if progress is not None:
            progress(passed)
        series.append(prober.probe())
    reference = Reference.of(series, theory)
    return Calibration(
        machine=machine,
        cores=cores,
        taken=taken,
        seconds=clock() - began,
        readings=len(series),
        quiet_share=statistics.fmean(map(reference.is_quiet, series)),
        reference=reference,
    )


def is_worth_keeping(new: Calibration, stored: Calibration | None) -> bool:
    """Whether every unit reached its theory, and memory the stored rate."""
    if new.reference.below:
        return False
    if stored is None:
        return True
    old, found = (each.reference.rates.get(Unit.MEMORY, 0.0) for each in (stored, new))
    return found * MEMORY_WITHIN >= old


def describe(found: Calibration) -> str:
    """The calibration in a few lines of text."""
    readings = f"{found.readings} readings of {found.cores} cores in {found.seconds:.0f} s"
    lines = [
        f"{readings}, {found.quiet_share:.0%} of them quiet",
        "each unit's quiet rate, on the slowest CPU:",
    ]
    for unit, rate in found.reference.rates.items():
        amount = f"{rate / 1e9:.1f} 10^9 bytes/s" if unit is Unit.MEMORY else f"{rate:.1f} a cycle"
        share = found.reference.below.get(unit)
        note = f" (the best reading, {share:.0%} of theory: never undisturbed)" if share else ""
        lines.append(f"  {unit:<8}{amount}{note}")
    return "\n".join(lines)


def default_path(
    machine: Mapping[str, str], cores: int, environ: Mapping[str, str] = os.environ
) -> Path:
    """The user's file for this machine and number of cores; OutputError for one without a home."""
    folder = user_folder("XDG_DATA_HOME", ".local/share", environ)
    if folder is None:
        raise OutputError(
            f"this user (id {os.getuid()}) has no home folder for its quiet reference: "
            f"{_OTHER_PLACE}"
        )
    return folder / "references" / f"{machine_id(machine)}-c{cores}.json"


def ensure_storable(path: Path) -> None:
    """Try whether a calibration can be stored at ``path``; raises OutputError if not."""
    with _storing():
        check_file(path)
        ensure_writable(path.parent)


def save_calibration(calibration: Calibration, path: Path) -> None:
    """Write it as JSON, atomically. Raises OutputError."""
    text = msgspec.json.format(msgspec.json.encode(calibration)).decode() + "\n"
    with _storing():
        write_atomically(path, text)


@contextlib.contextmanager
def _storing() -> Iterator[None]:
    """Say how to choose another folder."""
    try:
        yield
    except OutputError as error:
        raise OutputError(f"{error} ({_OTHER_PLACE})") from error


class _Head(msgspec.Struct):
    schema_version: int = 0


def load_calibration(place: Path, machine: Mapping[str, str], cores: int) -> Calibration:
    """The calibration in a file that the user named.

    Raises ResultsFileError, which names the file, if it cannot be used here: as one of another
    schema version, of another machine or number of cores.
    """

    def refuse(fault: str) -> ResultsFileError:
        return ResultsFileError(
            f"the quiet reference {place} {fault}; make a new file with `amx-suite calibrate "
            "--reference FILE` on this machine, or leave the option out"
        )

    return _load(place, machine, cores, refuse)


def stored_calibration(machine: Mapping[str, str], cores: int) -> tuple[Calibration | None, str]:
    """The calibration of this machine in the user's data folder, None if there is none to use.

    The text says why a file that is there cannot be used. Nobody named it, so a run goes on without
    it, and what is measured next replaces it.
    """
    try:
        place = default_path(machine, cores)
    except OutputError:
        return None, ""
    try:
        return _load(place, machine, cores, ResultsFileError), ""
    except ResultsFileError as error:
        missing = isinstance(error.__cause__, FileNotFoundError | NotADirectoryError)
        return None, "" if missing else f"the stored reference {place} {error}"


def _load(
    place: Path,
    machine: Mapping[str, str],
    cores: int,
    refuse: Callable[[str], ResultsFileError],
) -> Calibration:
    content = parse_json(read_bytes(place, refuse), refuse)
    version = convert(content, _Head, refuse).schema_version
    if version != CALIBRATION_SCHEMA:
        raise refuse(f"has schema version {version}, not {CALIBRATION_SCHEMA}")
    found = convert(content, Calibration, refuse)
    if not found.reference.rates:
        raise refuse("has no unit's rate")
    # The traits have ``cores`` of their own: all that a process may use.
    changes = differences(
        {**found.machine, "cores of the instance": str(found.cores)},
        {**machine, "cores of the instance": str(cores)},
    )
    if changes:
        words = "; ".join(change.words for change in changes)
        raise refuse(f"is of another machine ({words})")
    return found
