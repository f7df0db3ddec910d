"""Reads tables of minimum speedups; an error names the file, the gate and the key."""

from __future__ import annotations

__all__ = ["DEFAULT_TABLE", "gates_that_fit", "load_gates", "read_gates"]

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, TypeVar

import msgspec
from msgspec import Meta

from amx_suite.core.case import Mode, Shape, Workload
from amx_suite.core.gate import DEFAULT_AMX_SHARE, Gate, Versus
from amx_suite.core.trial import arms_of
from amx_suite.documents import explain, parse_toml, read_bytes
from amx_suite.engines import ENGINES
from amx_suite.errors import GateTableError, UsageError
from amx_suite.host.cpuid import AMX_BITS, read_cpuid
from amx_suite.workloads import WORKLOADS

#: The table that ships with the suite.
DEFAULT_TABLE = Path(__file__).with_name("default.toml")

#: What a table may ask for; only the suite itself asks for an A/A control.
_VERSUS = [versus for versus in Versus if versus is not Versus.CONTROL]

#: One value, or a list: one gate for each of its values.
_Names = str | Annotated[list[str], Meta(min_length=1)]
_Count = Annotated[int, Meta(ge=1)]
#: One number, or the fewest and the most.
_Cores = _Count | Annotated[list[_Count], Meta(min_length=2, max_length=2)]
_Features = Annotated[list[str], Meta(min_length=1)]
_T = TypeVar("_T")


class _Row(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One ``[[gate]]`` of a table."""

    model: _Names
    mode: _Names
    precision: _Names
    versus: _Names
    shape: _Names
    minimum: Annotated[float, Meta(gt=0, lt=1e6)]
    source: Annotated[str, Meta(pattern=r"\S", description="a text on where it is from")]
    engine: _Names | None = None
    cores: _Cores | None = None
    cpu: _Features | None = None
    amx_share: Annotated[float, Meta(ge=0, lt=1)] = DEFAULT_AMX_SHARE


class _Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    gate: list[_Row] = []


def load_gates(path: Path | None) -> tuple[Gate, ...]:
    """The shipped gates, then those of the user's table, if any.

    The last gate that covers an arm counts (``trial.decide.gates_of``). Raises GateTableError.
    """
    return (*read_gates(DEFAULT_TABLE), *(() if path is None else read_gates(path)))


def gates_that_fit(gates: Sequence[Gate]) -> tuple[Gate, ...]:
    """Those of the gates that are for this machine's CPU; it is asked only if one names a CPU."""
    features = read_cpuid().amx_features if any(gate.cpu for gate in gates) else ()
    return tuple(gate for gate in gates if gate.fits(features))


def read_gates(path: Path) -> tuple[Gate, ...]:
    """The gates of one table, in its order; raises GateTableError."""

    def refuse(fault: str) -> GateTableError:
        return GateTableError(f"{path}: {fault}; expected a TOML table of gates (docs/gates.md)")

    content = parse_toml(read_bytes(path, refuse), refuse)
    try:
        table = msgspec.convert(content, _Table)
    except msgspec.ValidationError as error:
        raise GateTableError(f"{path}: {_in_words(explain(error, content))}") from None
    found: dict[str, Gate] = {}
    for number, row in enumerate(table.gate, start=1):
        try:
            gates = list(_gates(row))
        except UsageError as error:
            raise GateTableError(f"{path}: gate {number}, {error}") from None
        for gate in gates:
            if gate.id in found:
                raise GateTableError(f"{path}: gate {number}: {gate.id} is there twice")
            found[gate.id] = gate
    return tuple(found.values())


def _in_words(error: str) -> str:
    """``gate 2, minimum: expected `float` > 0`` for ``Expected ... - at `$.gate[1].minimum```."""
    what, _, place = error.partition(" - at ")
    what = what[:1].lower() + what[1:]
    at = re.fullmatch(r"`\$\.gate\[(\d+)\]\.?(\w*)[^`]*`(.*)", place)
    if at is None:
        return f"{what} (only [[gate]] tables are expected)"
    key = f", {at[2]}" if at[2] else ""
    return f"gate {int(at[1]) + 1}{key}: {what}{at[3]}"


def _gates(row: _Row) -> Iterator[Gate]:
    """One gate for each combination of the values of the row's lists."""
    values = (row.mode, row.model, row.precision, row.versus, row.shape, row.engine)
    lists = [value if isinstance(value, list) else [value] for value in values]
    for mode_name, model, precision, versus, shape, engine in itertools.product(*lists):
        mode = _one_of("mode", mode_name, Mode)
        with_amx = [precision for precision, isa in arms_of(mode) if isa.allows_amx]
        yield Gate(
            workload=Workload(_one_of("model", model, WORKLOADS), mode),
            precision=_one_of("precision", precision, with_amx, f" ({mode} with AMX)"),
            versus=_one_of("versus", versus, _VERSUS),
            shape=Shape.parse(str(shape)),
            minimum=row.minimum,
            source=" ".join(row.source.split()),
            engine=None if engine is None else _one_of("engine", engine, ENGINES),
            amx_share=row.amx_share,
            cores=_range(row.cores),
            cpu=None if row.cpu is None else _features(row.cpu),
        )


def _range(cores: int | list[int] | None) -> tuple[int, int] | None:
    if cores is None:
        return None
    fewest, most = cores if isinstance(cores, list) else (cores, cores)
    if fewest > most:
        raise GateTableError(f"cores: expected [fewest, most], found [{fewest}, {most}]")
    return fewest, most


def _features(names: Sequence[str]) -> tuple[str, ...]:
    for name in names:
        _one_of("cpu", name, AMX_BITS)
    # In the table's order, so that one set of features has one id.
    return tuple(name for name in AMX_BITS if name in names)


def _one_of(key: str, name: object, known: Iterable[_T], note: str = "") -> _T:
    found = {str(each): each for each in known}
    if name not in found:
        names = ", ".join(found)
        raise GateTableError(f"{key}: expected one of {names}{note}, found '{name}'")
    return found[str(name)]
