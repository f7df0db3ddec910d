"""How often `amx-suite compare` errs: python benchmarks/simulate_compare.py [N].

Makes up runs of known speedups and compares them with the real code, N times (default 2000) for
each row, from fixed seeds. A run is 12 rounds of five arms with 1.4 % jitter in each slice, and
each arm's launch is off by a factor of its own, so that the four gates of a run share arms as real
ones do. Prints a Markdown table: of all verdicts on gates the share that was worse, better,
unchanged and inconclusive, and of all comparisons the share that ended with code 1.
"""

from __future__ import annotations

import itertools
import math
import sys
from collections import Counter
from typing import NamedTuple

import numpy as np

from amx_suite.core.case import Mode, Shape, Workload
from amx_suite.core.gate import Gate, Versus
from amx_suite.core.isa import Isa
from amx_suite.core.measurement import Environment
from amx_suite.core.precision import Precision
from amx_suite.core.run import ExitCode, RunSummary
from amx_suite.core.trial import Trial
from amx_suite.core.verdict import GateResult, Verdict
from amx_suite.history.change import Change
from amx_suite.history.compare import compare
from amx_suite.history.store import RatioRow, StoredRun
from amx_suite.trial.interval import paired_speedup

_ROUNDS = 12
_JITTER = 0.014
_MARGIN = 0.05

_SHAPE = Shape(16, 224)
_WORKLOAD = Workload("resnet50", Mode.INFERENCE)
_ARMS = Trial.of(_WORKLOAD, "ipex", _SHAPE, cores=2).arms
_SECONDS = np.array([0.8, 1.0, 0.2, 0.22, 0.15])
_HERE = Environment({"kernel": "6.1"}, {"torch": "2.8.0"}, {}, (0, 1))

#: The standard deviation of the log ratio of two launches: what `compare` assumes, and the reading
#: in which that of each launch by itself is as great.
_SPREADS = {"2 % between two launches": 0.02, "2 % of each launch": 0.02 * math.sqrt(2)}


class Kind(NamedTuple):
    """One row of the table; the arms on AMX take ``slower`` times as long in the new run."""

    name: str
    slower: float
    bases: int
    gates: int
    spread: str


_KINDS = [
    Kind(name, slower, bases, gates, spread)
    for spread, (name, slower), bases, gates in itertools.product(
        _SPREADS, {"the same": 1.0, "10 % slower": 1.1}.items(), (1, 3, 5), (1, 4)
    )
]


class _GateSketch(NamedTuple):
    """A gate of the made-up runs, as far as it is the same in each; the arms by their index."""

    baseline: int
    candidate: int
    result: GateResult


def _sketch(precision: Precision, versus: Versus) -> _GateSketch:
    gate = Gate(_WORKLOAD, precision, versus, _SHAPE, 1.0, "made up")
    candidate = next(arm for arm in _ARMS if gate.covers(arm))
    baseline = next(arm for arm in _ARMS if versus.is_baseline(arm, candidate))
    return _GateSketch(
        _ARMS.index(baseline),
        _ARMS.index(candidate),
        GateResult(gate, candidate.id, baseline.id, Verdict.PASS, ""),
    )


_GATES = [
    _sketch(precision, versus)
    for precision in (Precision.BF16, Precision.INT8)
    for versus in (Versus.FP32, Versus.NO_AMX)
]


def main() -> None:
    """Print the table."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    changes = (Change.WORSE, Change.BETTER, Change.UNCHANGED, Change.INCONCLUSIVE)
    header = ("the new run is", "spread", "bases", "gates", *changes, "exit code 1")
    print("| " + " | ".join(header) + " |")
    print("| " + " | ".join(["---"] * len(header)) + " |")
    for kind in _KINDS:
        found, failed = _outcomes(kind, count)
        shares = [f"{found[change] / found.total():.2%}" for change in changes]
        cells = (kind.name, kind.spread, str(kind.bases), str(kind.gates), *shares)
        print("| " + " | ".join((*cells, f"{failed / count:.2%}")) + " |", flush=True)


def _outcomes(kind: Kind, count: int) -> tuple[Counter[Change], int]:
    """How many gates ended in each way, and how many comparisons found one that got worse."""
    generator = np.random.default_rng(_KINDS.index(kind))
    found: Counter[Change] = Counter()
    failed = 0
    for _ in range(count):
        *bases, new = (
            _run(generator, kind, number, kind.slower if number == kind.bases else 1.0)
            for number in range(kind.bases + 1)
        )
        comparison = compare(bases, new, margin=_MARGIN)
        found.update(gate.change for gate in comparison.gates)
        failed += comparison.exit_code is ExitCode.FAILED
    return found, failed


def _run(generator: np.random.Generator, kind: Kind, number: int, slower: float) -> StoredRun:
    # A difference of two launches is made of four launches of arms.
    launch = generator.normal(0, _SPREADS[kind.spread] / 2, len(_ARMS))
    jitter = generator.normal(0, _JITTER, (_ROUNDS, len(_ARMS)))
    factors = np.array([slower if arm.isa is Isa.AMX else 1.0 for arm in _ARMS])
    seconds = _SECONDS * factors * np.exp(launch + jitter)
    rows = tuple(_row(gate, seconds) for gate in _GATES[: kind.gates])
    started = f"2026-01-{number + 1:02}T00:00:00+00:00"
    summary = RunSummary(3, ("ipex",), (), True, "", (), (), started, 900.0)
    return StoredRun(f"{number}.json", summary, rows)


def _row(gate: _GateSketch, seconds: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> RatioRow:
    speedup = paired_speedup(seconds[:, [gate.baseline, gate.candidate]].tolist())
    assert speedup is not None
    return RatioRow(_ARMS[gate.candidate], gate.result, _HERE, speedup)


if __name__ == "__main__":
    main()
