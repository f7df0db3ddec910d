"""Result files of earlier runs, read back and validated before anything is made of them."""

from __future__ import annotations

__all__ = ["Night", "RatioRow", "load_night"]

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from amx_suite.core.case import RunCase
from amx_suite.core.measurement import Environment
from amx_suite.core.run import SCHEMA_VERSION, RunSummary
from amx_suite.core.verdict import GateResult, Speedup
from amx_suite.errors import ResultsFileError
from amx_suite.history.previous import PREVIOUS_VERSION, from_previous
from amx_suite.trial.interval import paired_speedup

_REMEDY = "name a results.json that `amx-suite qualify` wrote"


class RatioRow(msgspec.Struct, frozen=True):
    """One gate's speedup in one run: that of the first launch, from its quiet rounds.

    ``name`` reads like the gate's test: ``resnet50-inference-bf16-amx-ipex-vs-fp32``.
    """

    name: str
    case: RunCase
    result: GateResult
    environment: Environment
    speedup: Speedup

    @property
    def name_without_engine(self) -> str:
        """What two engines' rows of the same gate share."""
        return f"{self.case.workload}-{self.case.arm}-vs-{self.result.gate.versus}"


class Night(msgspec.Struct, frozen=True):
    """One run: where it was read from, all of it, its measured rows by name, and the other gates.

    ``unmeasured`` maps the names of gates without a quiet round to why there was none.
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
    schema_version: int | None = None

    @property
    def version(self) -> int:
        """The oldest in it; until the previous layout each trial had its own, and the run none."""
        if self.schema_version is not None:
            return self.schema_version
        versions = (trial.measurement.schema_version for trial in self.trials)
        return min(versions, default=PREVIOUS_VERSION)


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
    with _named_if_damaged(path):
        head = msgspec.convert(content, _Head)
    if head.amx_suite is None:
        raise _unusable(path, "was not written by amx-suite, it has no section of that name")
    section: dict[str, Any] = content["amx_suite"]
    version = head.amx_suite.version
    if version not in (PREVIOUS_VERSION, SCHEMA_VERSION):
        raise ResultsFileError(
            f"{path} has schema version {version}, this suite reads versions {PREVIOUS_VERSION} "
            f"and {SCHEMA_VERSION}; take that run again with `amx-suite qualify`, or compare it "
            "with the suite that wrote it"
        )
    with _named_if_damaged(path):
        if version == PREVIOUS_VERSION:
            section = from_previous(section)
        summary = msgspec.convert(section, RunSummary)
    return _night(path, summary)


def _night(path: Path, summary: RunSummary) -> Night:
    rows: dict[str, RatioRow] = {}
    unmeasured: dict[str, str] = {}
    for trial in summary.trials:
        measurement = trial.measurement
        cases = {facts.case.id: facts.case for facts in measurement.arms}
        for result in trial.gates:
            speedup = paired_speedup(measurement.pairs(result.baseline_id, result.candidate_id))
            case = cases.get(result.candidate_id)
            if case is None or speedup is None:
                unmeasured[f"{result.candidate_id} over {result.baseline_id}"] = (
                    f"{result.verdict}: {result.reason}"
                )
                continue
            name = f"{case.name}-vs-{result.gate.versus}"
            rows[name] = RatioRow(name, case, result, measurement.environment, speedup)
    return Night(str(path), summary, rows, unmeasured)


@contextlib.contextmanager
def _named_if_damaged(path: Path) -> Iterator[None]:
    try:
        yield
    except msgspec.ValidationError as error:
        raise _unusable(path, f"is damaged: {error}") from error


def _unusable(path: Path, fault: str) -> ResultsFileError:
    return ResultsFileError(f"{path} {fault}; {_REMEDY}")
