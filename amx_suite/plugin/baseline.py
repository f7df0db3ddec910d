"""Refuses baselines that are unreadable, not the suite's, or of another machine or case."""

from __future__ import annotations

__all__ = [
    "OUR_KEY",
    "check_argument",
    "check_loaded",
    "check_machine",
    "check_row",
    "machine_info",
    "missing_rows",
    "narrow_storage",
    "storage_of_machine",
    "stored_machine",
    "versions",
]

import platform
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from amx_suite import __version__
from amx_suite.core.conditions import CONDITIONS, admit, differences
from amx_suite.core.packages import installed
from amx_suite.core.run import SCHEMA_VERSION
from amx_suite.documents import convert
from amx_suite.errors import ResultsFileError
from amx_suite.host.fingerprint import machine_id

if TYPE_CHECKING:
    import pytest
    from pytest_benchmark.session import BenchmarkSession

    from amx_suite.core.run import Check

#: Our section in pytest-benchmark's JSON and in its machine_info.
OUR_KEY = "amx_suite"

_PACKAGES = ("torch", "torchvision", "transformers", "intel-extension-for-pytorch")
_ABSENT = "absent"
_REMEDY = "take a new baseline with --benchmark-save"
_OPTION = "--amx-across"


class _Stats(msgspec.Struct):
    """What pytest-benchmark's tables and limits read."""

    min: float
    max: float
    mean: float
    stddev: float
    median: float
    iqr: float


class _Row(msgspec.Struct):
    fullname: str
    stats: _Stats
    extra_info: dict[str, Any] = {}


class _Baseline(msgspec.Struct):
    benchmarks: tuple[_Row, ...]
    machine_info: dict[str, Any] = {}


class _Section(msgspec.Struct):
    """Our part of a machine_info of this schema version."""

    fingerprint: dict[str, str]
    versions: dict[str, str]


def machine_info(fingerprint: Mapping[str, str]) -> dict[str, Any]:
    """pytest-benchmark's machine_info: stable facts only, so no clock speeds.

    It replaces pytest-benchmark's own, which takes seconds to find the CPU's name.
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


def versions() -> dict[str, str]:
    """Versions for people: of the suite and of Python too, without packages that are absent."""
    packages = {name: _version(name) for name in _PACKAGES}
    return {
        "amx-suite": __version__,
        "Python": platform.python_version(),
        **{name: version for name, version in packages.items() if version != _ABSENT},
    }


def check_argument(compare: object) -> None:
    """Raise ResultsFileError if --benchmark-compare took a test's path for its own value.

    Its value is optional, so in ``--benchmark-compare tests/`` the folder counts as the value.
    """
    if isinstance(compare, str) and (Path(compare).is_dir() or compare.endswith(".py")):
        raise ResultsFileError(
            f"--benchmark-compare took '{compare}' for the run to compare with; write "
            "--benchmark-compare=NUMBER, or put the option last"
        )


def storage_of_machine(storage: str, fingerprint: Mapping[str, str]) -> str:
    """This machine's folder in pytest-benchmark's storage.

    pytest-benchmark names its folders after system and Python only. A storage that is not a folder
    stays as it is; there ``check_machine`` alone refuses another machine's baseline.
    """
    if "://" in storage and not storage.startswith("file://"):
        return storage
    return f"{storage.rstrip('/')}/{machine_id(fingerprint)}"


def narrow_storage(config: pytest.Config, fingerprint: Mapping[str, str]) -> None:
    """Make pytest-benchmark use this machine's folder."""
    option = config.option
    option.benchmark_storage = storage_of_machine(option.benchmark_storage, fingerprint)
    session = getattr(config, "_benchmarksession", None)
    if session is not None:
        # Tests of the suite were found after pytest-benchmark had looked for the baseline.
        from pytest_benchmark.utils import load_storage

        session.storage = load_storage(
            option.benchmark_storage,
            logger=session.logger,
            default_machine_id=session.machine_id,
            netrc=option.benchmark_netrc,
        )
        session.handle_loading()


def stored_machine(baseline: Mapping[str, Any]) -> dict[str, Any]:
    """The machine_info of a baseline, {} if it has none.

    Raises ResultsFileError where what pytest-benchmark reads of it later is missing or of another
    type: it would end the run with an error of its own.
    """
    return convert(baseline, _Baseline, _unusable).machine_info


def check_machine(
    ours: Mapping[str, Any], theirs: Mapping[str, Any], across: Collection[str] = ()
) -> tuple[str, ...]:
    """Sentences on the differences of the baseline's machine_info that the user allowed.

    Raises ResultsFileError for any other difference, and always for another schema version.
    """
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
    stored = convert(there, _Section, _unusable)
    found = (
        *differences(stored.fingerprint, here["fingerprint"], "machine"),
        *differences(stored.versions, here["versions"], "software"),
    )
    return admit(found, across, option=_OPTION, remedy=_REMEDY)


def check_loaded(session: BenchmarkSession | None) -> None:
    """Raise ResultsFileError unless the baseline that the user asked for was read.

    pytest-benchmark only warns, and then every comparison passes.
    """
    if session is None or not session.compare:
        return
    if session.compare is True:
        wanted = session.storage.query("[0-9][0-9][0-9][0-9]_")[-1:]
    else:
        wanted = session.storage.query(session.compare)
    if not wanted:
        named = "" if session.compare is True else f"={session.compare}"
        raise ResultsFileError(
            f"--benchmark-compare{named}: there is no baseline of this machine in "
            f"{session.storage} that matches; {_REMEDY}, or name a file"
        )
    loaded = tuple(str(path) for path in session.compared_mapping or {})
    unread = [file for file in wanted if not str(file).endswith(loaded)]
    if unread:
        names = ", ".join(str(file) for file in unread)
        raise ResultsFileError(
            f"--benchmark-compare: {names} is not a readable pytest-benchmark file; name another, "
            f"or {_REMEDY}"
        )


def check_row(
    session: BenchmarkSession,
    test_id: str,
    facts: Mapping[str, object],
    across: Collection[str],
) -> tuple[str, ...]:
    """Sentences on the differences of the baseline's row of this test that the user allowed.

    ``facts`` is the extra_info of this run's row, with its ``case``. Raises ResultsFileError for
    any other difference.
    """
    notes: tuple[str, ...] = ()
    for path, rows in (session.compared_mapping or {}).items():
        saved = rows.get(test_id, {}).get("extra_info", {})
        if saved.get("case", facts["case"]) == facts["case"]:
            continue
        found = [d for d in differences(saved, facts) if d.kind in CONDITIONS]
        if not found:
            raise ResultsFileError(
                f"the baseline {path} measured {saved['case']}, this run measures {facts['case']}; "
                f"{_REMEDY}"
            )
        notes += admit(found, across, option=_OPTION, remedy=_REMEDY)
    return notes


def missing_rows(
    session: BenchmarkSession | None, checks: Iterable[Check], deselected: Collection[str]
) -> tuple[str, ...]:
    """A line for each row of the baseline that this run does not have, with the reason.

    Tests that the user deselected are left out.
    """
    if session is None:
        return ()
    measured = {row.fullname for row in session.benchmarks if row}
    outcomes = {check.test_id: f"{check.outcome}: {check.reason}" for check in checks}
    wanted = {name for rows in (session.compared_mapping or {}).values() for name in rows}
    return tuple(
        f"{name}: {outcomes.get(name, 'no such test was run')}"
        for name in sorted(wanted - measured - frozenset(deselected))
    )


def _unusable(fault: str) -> ResultsFileError:
    return ResultsFileError(f"the baseline to compare with {fault}; {_REMEDY}")


def _version(package: str) -> str:
    return installed(package) or _ABSENT
