"""Results files made up for the selftests, whose rounds have a given series of speedups."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

import msgspec
import sample_runs as runs

from amx_suite.core.measurement import Round, Slice
from amx_suite.core.run import RunSummary
from amx_suite.core.verdict import Verdict

#: The usual log speedup: FP32 takes four times as long as AMX.
LEVEL = math.log(4.0)


def summary(
    logs: Sequence[float],
    *,
    verdict: Verdict = Verdict.PASS,
    drift: Sequence[float] = (),
    disturbed: int = 0,
    started: str = "2025-11-22T08:00:00+00:00",
    **environment: dict[str, str],
) -> RunSummary:
    """A run of one gate, BF16 on AMX over FP32, with these log speedups round by round.

    ``drift`` has a factor for each round by which both arms are slower. In the first
    ``disturbed`` rounds the AMX arm has no quiet slice.
    """
    trial = runs.trial_result(runs.gate_result(verdict))
    factors = list(drift) or [1.0] * len(logs)
    rounds = tuple(
        _round(index, 0.2 * factor * math.exp(log), 0.2 * factor, index < disturbed)
        for index, (log, factor) in enumerate(zip(logs, factors, strict=True))
    )
    changed = msgspec.structs.replace(trial.measurement.environment, **environment)
    trial = runs.measured(trial, rounds=rounds, environment=changed)
    return msgspec.structs.replace(runs.summary(runs.PASSED, trials=(trial,)), started=started)


def _round(index: int, fp32_seconds: float, amx_seconds: float, disturbed: bool) -> Round:
    fp32 = Slice(runs.FP32.id, float(fp32_seconds), 1)
    amx = Slice(runs.AMX.id, float(amx_seconds), 1)
    return Round(index, (fp32,), disturbed=(amx,)) if disturbed else Round(index, (fp32, amx))


def write(path: Path, run: RunSummary) -> Path:
    """The run as a results file, in pytest-benchmark's layout."""
    content = {"benchmarks": [], "version": "5.3.1", "amx_suite": msgspec.to_builtins(run)}
    path.write_text(json.dumps(content))
    return path
