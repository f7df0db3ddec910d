"""A wrong tile result in a file, with everything needed to run it again."""

from __future__ import annotations

__all__ = ["StoredMismatch", "read_mismatch", "store_mismatch"]

import functools
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from amx_suite.documents import convert, parse_json, read_bytes
from amx_suite.errors import ResultsFileError
from amx_suite.files import write_atomically
from amx_suite.tmul.batch import BatchResult

_SCHEMA_VERSION = 1


class StoredMismatch(msgspec.Struct, frozen=True):
    """The result, the machine's traits (``host.host_traits``), and when it was found."""

    machine: dict[str, str]
    result: BatchResult
    found: str
    schema_version: int = _SCHEMA_VERSION


def store_mismatch(folder: Path, machine: dict[str, str], result: BatchResult) -> Path:
    """Write the mismatch into a new file of the folder; raises OutputError."""
    now = datetime.now(UTC)
    name = f"mismatch-{result.batch.instruction}-cpu{result.cpu}-{now:%Y%m%dT%H%M%S%f}.json"
    stored = StoredMismatch(machine, result, now.isoformat(timespec="seconds"))
    path = folder / name
    write_atomically(path, msgspec.json.format(msgspec.json.encode(stored)).decode() + "\n")
    return path


def read_mismatch(path: Path) -> StoredMismatch:
    """Read such a file; raises ResultsFileError if it is another file or holds no operands."""
    refuse = functools.partial(_unusable, path)
    content = parse_json(read_bytes(path, refuse), refuse)
    stored = convert(content, StoredMismatch, refuse, "is no stored mismatch")
    if stored.schema_version != _SCHEMA_VERSION:
        raise ResultsFileError(
            f"{path} has schema version {stored.schema_version}, expected {_SCHEMA_VERSION}; "
            "replay it with the version of amx-suite that wrote it"
        )
    if stored.result.first is None:
        raise ResultsFileError(f"{path} holds no operands of a wrong tile: nothing to replay")
    return stored


def _unusable(path: Path, fault: str) -> ResultsFileError:
    return ResultsFileError(
        f"{path} {fault}; give a mismatch-*.json that an instruction test wrote"
    )
