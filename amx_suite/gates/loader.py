"""Reading tables of minimum speedups, with the line of whatever is wrong in them."""

from __future__ import annotations

__all__ = ["DEFAULT_TABLE", "load_gates", "read_gates"]

import contextlib
import itertools
import math
import re
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from amx_suite.core.case import Mode, Precision, Shape, Workload
from amx_suite.core.gate import DEFAULT_AMX_SHARE, Gate, Versus
from amx_suite.core.trial import arms_of
from amx_suite.engines import ENGINES
from amx_suite.errors import GateTableError, UsageError
from amx_suite.workloads import WORKLOADS

#: The table that ships with the suite.
DEFAULT_TABLE = Path(__file__).with_name("default.toml")

_REQUIRED = ("model", "mode", "precision", "versus", "shape", "minimum", "source")
_KEYS = (*_REQUIRED, "engine", "amx_share")
#: What makes a gate's scope. A list of values stands for one entry with each of them.
_SCOPE = ("model", "mode", "precision", "versus", "shape", "engine")

#: What a table may ask; the A/A control is the suite's own.
_VERSUS = [versus for versus in Versus if versus is not Versus.COPY]

_HEADER = re.compile(r"\s*\[\[\s*gate\s*\]\]")


def load_gates(path: Path | None) -> tuple[Gate, ...]:
    """The shipped gates, with the user's table (if any) laid over them.

    A gate of the same scope (model, mode, precision, versus, shape, engine) replaces the shipped
    one in its place; any other is added. Raises GateTableError.
    """
    gates = {gate.id: gate for gate in read_gates(DEFAULT_TABLE)}
    if path is not None:
        gates.update({gate.id: gate for gate in read_gates(path)})
    return tuple(gates.values())


def read_gates(path: Path) -> tuple[Gate, ...]:
    """The gates of one table, in its order; raises GateTableError with file and line."""
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise GateTableError(
            f"{path}: expected a readable TOML table of gates, found: {error.strerror}"
        ) from None
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise _error(path, line, "UTF-8 text", f"byte 0x{error.object[error.start]:02x}") from None
    return _Table(path, text).gates()


def _error(path: Path, line: int, expected: str, found: str) -> GateTableError:
    return GateTableError(f"{path}:{line}: expected {expected}, found {found}")


def _one_of(names: Iterable[object]) -> str:
    return "one of " + ", ".join(f'"{name}"' for name in names)


class _Table:
    """One file: its text for the line numbers, its values for the gates."""

    def __init__(self, path: Path, text: str) -> None:
        self.path = path
        self.lines = text.splitlines()
        try:
            self.values = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            at = re.search(r"at line (\d+)", str(error))
            line = int(at[1]) if at else len(self.lines)
            raise _error(path, line, "valid TOML", str(error)) from None

    def gates(self) -> tuple[Gate, ...]:
        for key in self.values:
            if key != "gate":
                line = self._line_of(rf"\s*\[*\s*[\"']?{re.escape(key)}\b")
                raise _error(self.path, line, "[[gate]] tables only", f"'{key}'")
        rows = self.values.get("gate", [])
        if not (isinstance(rows, list) and all(isinstance(row, dict) for row in rows)):
            line = self._line_of(r"\s*\[?\s*gate\b")
            raise _error(self.path, line, "an array of tables, [[gate]]", "another kind of 'gate'")
        starts = self._starts(len(rows))
        found: dict[str, tuple[Gate, int]] = {}
        for row, start in zip(rows, starts, strict=True):
            for gate in _Entry(self, row, start).gates():
                if gate.id in found:
                    again = f"{gate.id} again (line {found[gate.id][1]})"
                    raise _error(self.path, start, "one gate for each scope", again)
                found[gate.id] = gate, start
        return tuple(gate for gate, _ in found.values())

    def _starts(self, count: int) -> list[int]:
        """The line of each entry's header.

        Where the headers cannot be told apart by looking at lines (inline tables, a header inside
        a multi-line string) every entry is placed at the first mention of ``gate``.
        """
        starts = [n for n, line in enumerate(self.lines, 1) if _HEADER.match(line)]
        return starts if len(starts) == count else [self._line_of(r".*\bgate\b")] * count

    def _line_of(self, pattern: str, start: int = 1) -> int:
        """First line from ``start`` on that matches, else ``start``."""
        for number, line in enumerate(self.lines[start - 1 :], start):
            if re.match(pattern, line):
                return number
        return start

    def line_of_key(self, key: str, start: int) -> int:
        """The line that sets ``key`` in the entry that begins at ``start``, else ``start``."""
        for number, line in enumerate(self.lines[start:], start + 1):
            if re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line):
                return number
            if _HEADER.match(line):
                break
        return start


class _Entry:
    """One ``[[gate]]``: checks each key and says where and what it found instead."""

    def __init__(self, table: _Table, row: dict[str, Any], start: int) -> None:
        self.table = table
        self.row = row
        self.start = start

    def gates(self) -> Iterator[Gate]:
        """One gate for each combination of the values that are given as lists."""
        lists = {key: self.row[key] for key in _SCOPE if isinstance(self.row.get(key), list)}
        for key, values in lists.items():
            if not values:
                raise self._wrong(key, "at least one value in a list")
        for values in itertools.product(*lists.values()):
            row = self.row | dict(zip(lists, values, strict=True))
            yield _Entry(self.table, row, self.start)._gate()

    def _gate(self) -> Gate:
        for key in self.row:
            if key not in _KEYS:
                raise self._wrong(key, f"only the keys {', '.join(_KEYS)}", f"'{key}'")
        for key in _REQUIRED:
            if key not in self.row:
                raise self._wrong(key, f"the key '{key}' in this [[gate]]", "none")
        mode = Mode(self._name("mode", list(Mode)))
        precisions = [p for p, isa in arms_of(mode) if isa.allows_amx]
        return Gate(
            workload=Workload(self._name("model", sorted(WORKLOADS)), mode),
            precision=Precision(self._name("precision", precisions, f" ({mode} with AMX)")),
            versus=Versus(self._name("versus", _VERSUS)),
            shape=self._shape(),
            minimum=self._minimum(),
            source=self._source(),
            engine=self._name("engine", sorted(ENGINES)) if "engine" in self.row else None,
            amx_share=self._share() if "amx_share" in self.row else DEFAULT_AMX_SHARE,
        )

    def _wrong(self, key: str, expected: str, found: str | None = None) -> GateTableError:
        line = self.table.line_of_key(key, self.start)
        found = f"{key} = {self.row[key]!r}" if found is None else found
        return _error(self.table.path, line, expected, found)

    def _name(self, key: str, names: Iterable[str], note: str = "") -> str:
        value = self.row[key]
        if not isinstance(value, str) or value not in names:
            raise self._wrong(key, _one_of(names) + note)
        return value

    def _shape(self) -> Shape:
        value = self.row["shape"]
        try:
            return Shape.parse(value if isinstance(value, str) else repr(value))
        except UsageError:
            raise self._wrong("shape", 'a shape like "b16x224" (batch 16, size 224)') from None

    def _number(self, key: str) -> float:
        """The number at a key, NaN if there is something else."""
        value = self.row[key]
        # In TOML true is no number, but in Python it is.
        if isinstance(value, int | float) and not isinstance(value, bool):
            with contextlib.suppress(OverflowError):
                return float(value)
        return math.nan

    def _minimum(self) -> float:
        minimum = self._number("minimum")
        if not (math.isfinite(minimum) and minimum > 0):
            raise self._wrong("minimum", "a finite number above 0")
        return minimum

    def _share(self) -> float:
        share = self._number("amx_share")
        if not 0 <= share < 1:
            raise self._wrong("amx_share", "a share of at least 0 and below 1")
        return share

    def _source(self) -> str:
        value = self.row["source"]
        if not (isinstance(value, str) and value.strip()):
            raise self._wrong("source", "a text that says where the figure is from")
        return " ".join(value.split())
