"""Result files of earlier runs, read back and validated before anything is made of them."""

from __future__ import annotations

__all__ = ["Night", "RatioRow", "load_night"]

import json
import math
from pathlib import Path
from typing import TypeVar

import msgspec

from amx_suite.core.case import RunCase
from amx_suite.core.measurement import SCHEMA_VERSION, Environment
from amx_suite.core.run import RunSummary
from amx_suite.core.trial import TrialResult
from amx_suite.core.verdict import GateResult
from amx_suite.errors import ResultsFileError

_T = TypeVar("_T")

_REMEDY = "name a results.json that `amx-suite qualify` wrote"


class RatioRow(msgspec.Struct, frozen=True):
    """One gate's measured ratios: ``logs`` are log(baseline over candidate seconds), by round.

    ``name`` reads like the gate's test: ``resnet50-inference-bf16-amx-ipex-vs-fp32``.
    """

    name: str
    case: RunCase
    result: GateResult
    environment: Environment
    logs: tuple[float, ...]

    @property
    def name_without_engine(self) -> str:
        """What two engines' rows of the same gate share."""
        return f"{self.case.workload}-{self.case.arm}-vs-{self.result.gate.versus}"


class Night(msgspec.Struct, frozen=True):
    """One run: where it was read from, all of it, its measured rows by name, and the other gates.

    ``unmeasured`` maps the names of gates without a common round to why there was none.
    """

    path: str
    summary: RunSummary
    rows: dict[str, RatioRow]
    unmeasured: dict[str, str]

    @property
    def engines(self) -> tuple[str, ...]:
        """The engines that were measured."""
        return tuple(dict.fromkeys(row.case.engine for row in self.rows.values()))


class _Versioned(msgspec.Struct):
    schema_version: int = 0


class _Trial(msgspec.Struct):
    measurement: _Versioned


class _Section(msgspec.Struct):
    trials: list[_Trial]


class _Head(msgspec.Struct):
    """As much of a file as must be read before its layout is known."""

    amx_suite: _Section | None = None


def load_night(path: Path) -> Night:
    """Read a run back; raises ResultsFileError that names the file, the fault and the remedy."""
    try:
        # Not msgspec: pytest-benchmark writes NaN, which is no JSON to it.
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise _unusable(path, f"cannot be read: {error.strerror or error}") from error
    except (ValueError, RecursionError) as error:
        raise _unusable(path, f"is not JSON: {error}") from error
    head = _converted(path, content, _Head)
    if head.amx_suite is None:
        raise _unusable(path, "was not written by amx-suite, it has no section of that name")
    versions = {trial.measurement.schema_version for trial in head.amx_suite.trials}
    for version in versions - {SCHEMA_VERSION}:
        raise _unusable(
            path, f"has schema version {version}, this suite reads version {SCHEMA_VERSION}"
        )
    summary = _converted(path, content["amx_suite"], RunSummary)
    return _night(path, summary)


def _night(path: Path, summary: RunSummary) -> Night:
    rows: dict[str, RatioRow] = {}
    unmeasured: dict[str, str] = {}
    for trial in summary.trials:
        cases = {facts.case.id: facts.case for facts in trial.measurement.arms}
        for result in trial.gates:
            logs = _logs(trial, result)
            case = cases.get(result.candidate_id)
            if case is None or not logs:
                unmeasured[f"{result.candidate_id} over {result.baseline_id}"] = (
                    f"{result.verdict}: {result.reason}"
                )
                continue
            name = f"{case.name}-vs-{result.gate.versus}"
            rows[name] = RatioRow(name, case, result, trial.measurement.environment, logs)
    return Night(str(path), summary, rows, unmeasured)


def _logs(trial: TrialResult, result: GateResult) -> tuple[float, ...]:
    pairs = trial.measurement.pairs(result.baseline_id, result.candidate_id)
    return tuple(math.log(baseline / candidate) for baseline, candidate in pairs)


def _converted(path: Path, content: object, kind: type[_T]) -> _T:
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        raise _unusable(path, f"is damaged: {error}") from error


def _unusable(path: Path, fault: str) -> ResultsFileError:
    return ResultsFileError(f"{path} {fault}; {_REMEDY}")
