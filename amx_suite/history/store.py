"""Results files of earlier runs, read back and validated."""

from __future__ import annotations

__all__ = ["RatioRow", "StoredRun", "load_run", "load_summary", "same_run"]

import functools
import hashlib
import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from amx_suite.core.case import RunCase
from amx_suite.core.measurement import Environment
from amx_suite.core.run import SCHEMA_VERSION, RunSummary
from amx_suite.core.verdict import GateResult, Speedup
from amx_suite.documents import convert, decoding, parse_json, read_bytes
from amx_suite.errors import ResultsFileError
from amx_suite.history.previous import PREVIOUS_VERSION, from_previous
from amx_suite.trial.interval import paired_speedup


class RatioRow(msgspec.Struct, frozen=True):
    """One gate's speedup in one run: that of the first launch, from its quiet rounds."""

    case: RunCase
    result: GateResult
    environment: Environment
    speedup: Speedup

    @property
    def name(self) -> str:
        """Reads like the gate's test: ``resnet50-inference-bf16-amx-ipex-vs-fp32``."""
        return f"{self.case.name}-vs-{self.result.gate.versus}"

    @property
    def name_without_engine(self) -> str:
        """The same for every engine."""
        return f"{self.case.workload}-{self.case.arm}-vs-{self.result.gate.versus}"


class StoredRun(msgspec.Struct, frozen=True):
    """One run: its file, its content, its gates that have a quiet round, and the file's digest."""

    path: str
    summary: RunSummary
    rows: tuple[RatioRow, ...]
    sha256: str

    @property
    def engines(self) -> tuple[str, ...]:
        """The engines that were measured."""
        return tuple(dict.fromkeys(row.case.engine for row in self.rows))


class _Versioned(msgspec.Struct):
    schema_version: int = 0


class _File(msgspec.Struct):
    amx_suite: msgspec.Raw


def load_run(path: Path) -> StoredRun:
    """Read a run back; raises ResultsFileError that names the file, the fault and the remedy."""
    run, digest = load_summary(path)
    return StoredRun(str(path), run, tuple(_rows(path, run)), digest)


def load_summary(path: Path) -> tuple[RunSummary, str]:
    """A run and its file's SHA-256, no speedups; raises ResultsFileError as ``load_run``."""
    refuse = functools.partial(_unusable, path)
    stored = read_bytes(path, refuse)
    digest = hashlib.sha256(stored).hexdigest()
    if (decoded := _decoded(stored)) is not None:
        return decoded, digest
    content = parse_json(stored, refuse)
    section = content.get("amx_suite") if isinstance(content, dict) else None
    if section is None:
        raise refuse("was not written by amx-suite: it has no section of that name")
    version = convert(section, _Versioned, refuse).schema_version
    if version not in (PREVIOUS_VERSION, SCHEMA_VERSION):
        raise ResultsFileError(
            f"{path} has schema version {version}, this suite reads versions "
            f"{PREVIOUS_VERSION} and {SCHEMA_VERSION}; repeat that run with `amx-suite "
            "qualify`, or compare it with the suite that wrote it"
        )
    if version == PREVIOUS_VERSION:
        with decoding(refuse, "is damaged"):
            section = from_previous(section)
    return convert(section, RunSummary, refuse), digest


def _decoded(stored: bytes) -> RunSummary | None:
    """The run in a file of this version, in half the time that ``parse_json`` takes.

    None for all that needs more: a file with NaN, of another version, or with a fault to name.
    """
    try:
        section = msgspec.json.decode(stored, type=_File).amx_suite
        if msgspec.json.decode(section, type=_Versioned).schema_version == SCHEMA_VERSION:
            return msgspec.json.decode(section, type=RunSummary)
    except (msgspec.DecodeError, RecursionError):
        pass
    return None


def same_run(runs: Iterable[StoredRun]) -> tuple[StoredRun, StoredRun] | None:
    """The first two that hold the same run, None if all differ."""
    pairs = itertools.combinations(runs, 2)
    return next(((one, other) for one, other in pairs if one.summary == other.summary), None)


def _rows(path: Path, summary: RunSummary) -> Iterator[RatioRow]:
    for trial in summary.trials:
        measurement = trial.measurement
        cases = {facts.case.id: facts.case for facts in measurement.arms}
        for result in trial.gates:
            speedup = paired_speedup(measurement.pairs(result.baseline_id, result.candidate_id))
            if speedup is None:
                continue
            if result.candidate_id not in cases:
                raise _unusable(path, f"is damaged: its arm {result.candidate_id} is missing")
            case = cases[result.candidate_id]
            yield RatioRow(case, result, measurement.environment, speedup)


def _unusable(path: Path, fault: str) -> ResultsFileError:
    return ResultsFileError(f"{path} {fault}; name a results.json that `amx-suite qualify` wrote")
