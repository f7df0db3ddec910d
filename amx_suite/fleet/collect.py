"""Finds the results of a fleet: each machine's newest run, and the machines that have none."""

from __future__ import annotations

__all__ = ["collect", "read_expected"]

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import msgspec

from amx_suite.documents import in_one_line, read_bytes
from amx_suite.errors import ResultsFileError, UsageError
from amx_suite.files import text_of
from amx_suite.fleet.machines import Machine, NoResult, machine_of_run
from amx_suite.history.store import load_summary

_RESULTS = "results.json"
#: What a job on a node leaves besides its results: the output of ``qualify``, and a folder that
#: ``qualify`` renames its files from.
_OUTPUT, _UNFINISHED = "qualify.txt", ".unfinished-"


class _Found(NamedTuple):
    """A folder with results or traces of a run, and its path below the folder that was named.

    Where several were named, such as one of each machine, that of a named one is its path itself.
    """

    folder: Path
    below: tuple[str, ...]
    files: frozenset[str]
    unfinished: bool


class _Names:
    """What a machine is called.

    An expected node's name is that of a folder on the way to the file, or the host's, with or
    without domain. Else it is the host's if a folder has it, else the path of folders, else the
    host's name.
    """

    def __init__(self, expected: Iterable[str]) -> None:
        names = tuple(expected)
        short = Counter(_short(name) for name in names)
        self._known = {_short(name): name for name in names if short[_short(name)] == 1}
        self._known |= {name.lower(): name for name in names}

    def name(self, found: _Found, host: str | None = None) -> str:
        for each in (*reversed(found.below), *([host] if host else [])):
            for form in (each.lower(), _short(each)):
                if form in self._known:
                    return self._known[form]
        if host and _short(host) in map(_short, found.below):
            return host
        if found.below:
            return str(Path(*found.below))
        return host or found.folder.resolve().name


def _short(name: str) -> str:
    """Without a domain; an address stays whole."""
    name = name.lower()
    return name if name.replace(".", "").isdigit() else name.partition(".")[0]


def read_expected(path: Path) -> tuple[str, ...]:
    """The nodes of a list, one a line, each once; empty lines and ``#`` comments are left out.

    Raises UsageError.
    """

    def refuse(fault: str) -> UsageError:
        return UsageError(
            f"--expect: {path} {fault}; expected one node a line, as `sinfo -N -h -o %N` prints"
        )

    names: dict[str, None] = {}
    lines = read_bytes(path, refuse).decode("utf-8", "replace").splitlines()
    for number, line in enumerate(lines, start=1):
        words = line.partition("#")[0].split()
        if len(words) > 1 or "[" in line:
            raise refuse(f"has more than one name in line {number}, '{in_one_line(line)}'")
        names.update(dict.fromkeys(words))
    if not names:
        raise refuse("names no node")
    return tuple(names)


def collect(
    folders: Sequence[Path], expected: Sequence[str] = ()
) -> tuple[tuple[Machine, ...], tuple[NoResult, ...]]:
    """All machines, by name, and all that returned nothing or a file that cannot be used.

    Raises UsageError where one of ``folders`` is none, or there is nothing to report on.
    """
    names, machines, lost = _Names(expected), dict[str, Machine](), list[NoResult]()
    seen: set[str] = set()
    digests: dict[str, tuple[str, Path]] = {}
    every = [found for top in folders for found in _walk(top, len(folders) > 1, seen, lost)]
    with_results = {top for each in every if _RESULTS in each.files for top in each.folder.parents}
    for found in every:
        path = found.folder / _RESULTS
        if _RESULTS not in found.files:
            # The run's output may lie beside the folder of its results.
            if found.folder not in with_results:
                lost.append(NoResult(names.name(found), _why_nothing(found)))
            continue
        try:
            run, digest = load_summary(path)
        except ResultsFileError as error:
            lost.append(NoResult(names.name(found), str(error)))
            continue
        name = names.name(found, run.identity.host_name)
        other, first = digests.setdefault(digest, (name, path))
        if other != name:
            lost.append(NoResult(name, f"{path} is a copy of {first}, the result of {other}"))
            continue
        machine = machine_of_run(name, str(path), run)
        machines[name] = _newest(machines[name], machine) if name in machines else machine
    there = {*machines, *(each.name for each in lost)}
    lost += [
        NoResult(name, f"no {_RESULTS} of this node in {', '.join(map(str, folders))}")
        for name in expected
        if name not in there
    ]
    if not machines and not lost:
        raise UsageError(
            f"there is no {_RESULTS} in {', '.join(map(str, folders))}; name the folders that the "
            "machines' runs of `amx-suite qualify` wrote into"
        )
    return tuple(machines[name] for name in sorted(machines)), tuple(sorted(lost))


def _newest(one: Machine, other: Machine) -> Machine:
    older, newer = sorted((one, other), key=lambda machine: _time(machine.started))
    return msgspec.structs.replace(newer, older=(*newer.older, *older.older, older.path))


def _time(text: str) -> datetime:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return datetime.min.replace(tzinfo=UTC)
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _walk(top: Path, several: bool, seen: set[str], lost: list[NoResult]) -> Iterator[_Found]:
    """Every folder in ``top`` that has results or traces of a run and is not among the ``seen``.

    Links are followed, as a node's folder may be one. A folder that cannot be read is ``lost``.
    """
    if not top.is_dir():
        raise UsageError(f"{top} is no folder; name folders with results of `amx-suite qualify`")

    def unreadable(error: OSError) -> None:
        name = os.path.relpath(error.filename, top)
        lost.append(NoResult(name, f"{error.filename} cannot be read: {error.strerror}"))

    for folder, inner, files in os.walk(top, onerror=unreadable, followlinks=True):
        real = os.path.realpath(folder)
        if real in seen:
            inner.clear()
            continue
        seen.add(real)
        unfinished = any(name.startswith(_UNFINISHED) for name in inner)
        inner[:] = sorted(name for name in inner if not name.startswith(_UNFINISHED))
        names = frozenset(files) & {_RESULTS, _OUTPUT}
        if names or unfinished:
            below = Path(folder).relative_to(top).parts or (top.parts if several else ())
            yield _Found(Path(folder), below, names, unfinished)


def _why_nothing(found: _Found) -> str:
    """Why there are no results, and the last line that the run printed."""
    why = f"{found.folder} has no {_RESULTS}"
    if found.unfinished:
        why = f"{why}: the run was killed while it wrote ({_UNFINISHED}* is left)"
    said = text_of(found.folder / _OUTPUT).splitlines() if _OUTPUT in found.files else []
    return f"{why}; the run said last: {in_one_line(said[-1])}" if said else why
