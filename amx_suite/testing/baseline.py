"""Refuses baselines that cannot be compared with: unreadable, foreign, or of another machine."""

from __future__ import annotations

__all__ = [
    "OUR_KEY",
    "check_argument",
    "check_loaded",
    "check_machine",
    "check_row",
    "machine_info",
]

import importlib.metadata
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from amx_suite.core.measurement import SCHEMA_VERSION
from amx_suite.errors import ResultsFileError

if TYPE_CHECKING:
    from pytest_benchmark.session import BenchmarkSession

#: Our section in pytest-benchmark's JSON and in its machine_info.
OUR_KEY = "amx_suite"

_PACKAGES = ("torch", "torchvision", "transformers", "intel-extension-for-pytorch")
_REMEDY = "take a new baseline with --benchmark-save"


def machine_info(fingerprint: Mapping[str, str]) -> dict[str, Any]:
    """pytest-benchmark's machine_info: stable facts only, so no clock speeds.

    Replaces its own, which asks the CPU's name in ways that take seconds.
    """
    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "release": platform.release(),
        "python_implementation": platform.python_implementation(),
        "python_version": platform.python_version(),
        OUR_KEY: {
            "schema_version": SCHEMA_VERSION,
            "fingerprint": dict(fingerprint),
            "versions": {name: _version(name) for name in _PACKAGES},
        },
    }


def check_argument(compare: object) -> None:
    """Raise ResultsFileError if --benchmark-compare took a folder or test for its own value.

    Its value is optional, so in ``--benchmark-compare tests/`` the folder counts as the value.
    """
    if isinstance(compare, str) and (Path(compare).is_dir() or compare.endswith(".py")):
        raise ResultsFileError(
            f"--benchmark-compare took '{compare}' for the run to compare with; write "
            "--benchmark-compare=NUMBER, or put the option last"
        )


def check_machine(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
    """Raise ResultsFileError unless both machine_infos are of one machine and one layout."""
    here, there = ours[OUR_KEY], theirs.get(OUR_KEY)
    if not isinstance(there, Mapping):
        raise ResultsFileError(
            f"the baseline to compare with was not written by amx-suite; {_REMEDY}"
        )
    if there.get("schema_version") != here["schema_version"]:
        raise ResultsFileError(
            f"the baseline has schema version {there.get('schema_version')}, this suite reads "
            f"{here['schema_version']}; {_REMEDY}"
        )
    for section in ("fingerprint", "versions"):
        saved = there.get(section, {})
        differing = sorted(
            name for name in {*here[section], *saved} if here[section].get(name) != saved.get(name)
        )
        if differing:
            changes = "; ".join(
                f"{name} was '{saved.get(name)}', is '{here[section].get(name)}'"
                for name in differing
            )
            raise ResultsFileError(
                f"the baseline is of another machine or software ({changes}); {_REMEDY}"
            )


def check_loaded(session: BenchmarkSession) -> None:
    """Raise ResultsFileError if a baseline was asked for and not all of it could be read.

    pytest-benchmark only warns then, and every comparison passes.
    """
    if not session.compare:
        return
    if session.compare is True:
        wanted = session.storage.query("[0-9][0-9][0-9][0-9]_")[-1:]
    else:
        wanted = session.storage.query(session.compare)
    if not wanted:
        raise ResultsFileError(
            f"--benchmark-compare={session.compare}: no baseline in {session.storage} matches; "
            f"{_REMEDY}"
        )
    loaded = tuple(str(path) for path in session.compared_mapping or {})
    unread = [file for file in wanted if not str(file).endswith(loaded)]
    if unread:
        names = ", ".join(str(file) for file in unread)
        raise ResultsFileError(
            f"--benchmark-compare: {names} is not a readable pytest-benchmark file; name another, "
            f"or {_REMEDY}"
        )


def check_row(session: BenchmarkSession, test_id: str, case_id: str) -> None:
    """Raise ResultsFileError if the baseline's row of this test measured another case."""
    for path, rows in (session.compared_mapping or {}).items():
        saved = rows.get(test_id, {}).get("extra_info", {}).get("case")
        if saved is not None and saved != case_id:
            raise ResultsFileError(
                f"the baseline {path} measured {saved}, this run measures {case_id}; compare runs "
                f"of one level, thread count, seed and weights, or {_REMEDY}"
            )


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "absent"
