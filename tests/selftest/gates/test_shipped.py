"""The shipped minima: each follows from the numbers in its source."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from fractions import Fraction

import msgspec
import pytest

from amx_suite.core.case import Shape, Workload
from amx_suite.core.gate import Gate, Versus
from amx_suite.core.precision import Precision
from amx_suite.core.trial import Trial
from amx_suite.engines import ENGINES
from amx_suite.gates.loader import load_gates
from amx_suite.trial.decide import gates_of
from amx_suite.workloads import WORKLOADS

pytestmark = pytest.mark.selftest

#: Median milliseconds of one step at batch 16 (IPEX 2.8, 2 vCPUs): FP32, BF16 without AMX, BF16
#: with AMX, INT8 without AMX, INT8 with AMX.
MEDIANS = {
    ("resnet50", "inference"): (868, 1205, 272, 238, 164),
    ("bert", "inference"): (2454, 3263, 879, 681, 514),
    ("resnet50", "training"): (4089, 4808, 2202),
    ("bert", "training"): (9402, 13423, 5458),
}
#: The suite's own estimates from quiet rounds (IPEX 2.8, 2 cores of an Emerald Rapids, 2026-11-28).
SPEEDUPS = {
    ("bf16", "fp32"): "5.95",
    ("bf16", "no-amx"): "11.00",
    ("int8", "fp32"): "12.63",
    ("int8", "no-amx"): "3.03",
}
#: The others are timed and shown.
JUDGED = (Precision.BF16, Precision.INT8)
_COLUMN = {"bf16": 1, "int8": 3}
_QUOTIENT = re.compile(r"; (0\.75|0\.6) x (\d+) / (\d+) = (\d+\.\d{4}), rounded down\.")


def shipped(*engines: str) -> list[Gate]:
    """The gates of these engines that rest on quotients of medians."""
    return [gate for gate in load_gates(None) if gate.engine in engines and not is_estimate(gate)]


def is_estimate(gate: Gate) -> bool:
    return gate.engine is not None and gate.workload.model == "gemm"


def medians(gate: Gate) -> tuple[int, int]:
    """Known-good milliseconds of the gate's baseline and of its AMX arm."""
    known = MEDIANS[gate.workload.model, gate.workload.mode]
    column = _COLUMN[gate.precision]
    return known[0 if gate.versus is Versus.FP32 else column], known[column + 1]


def fault(gate: Gate) -> str | None:
    """The first thing in a gate's source that does not lead to its minimum, or None."""
    found = _QUOTIENT.findall(gate.source)
    if len(found) != 1:
        return "no quotient"
    ((factor, slow, fast, quotient),) = found
    name = gate.precision.upper()
    baseline = "FP32" if gate.versus is Versus.FP32 else f"{name} without AMX"
    if f": {baseline} {slow}, {name} with AMX {fast}" not in gate.source:
        return "other medians"
    exact = Fraction(factor) * int(slow) / int(fast)
    if quotient != f"{float(exact):.4f}":
        return "wrong quotient"
    if gate.minimum != math.floor(100 * exact) / 100:
        return "wrong minimum"
    shapes = {Shape.parse(shape) for shape in re.findall(r"b\d+x\d+", gate.source)}
    if len(shapes) != 1:
        return "no one shape"
    (measured,) = shapes
    own = measured == gate.shape
    if factor != ("0.75" if own else "0.6"):
        return "wrong factor"
    if measured.size != gate.shape.size or measured.batch < gate.shape.batch:
        return "wrong shape"
    marked = re.match("Provisional: .* until measured at this shape", gate.source) is not None
    if marked is own:
        return "wrong mark"
    return None


def test_minima_follow_from_their_sources() -> None:
    gates = shipped("ipex")
    assert {gate.id: fault(gate) for gate in gates} == {gate.id: None for gate in gates}


def test_sources_name_the_known_good_medians() -> None:
    gates = shipped("ipex")
    assert len(gates) == sum(len(known) - 1 for known in MEDIANS.values())
    for gate in gates:
        slow, fast = medians(gate)
        assert f" x {slow} / {fast} = " in gate.source, gate.id


@pytest.mark.parametrize(
    ("model", "old", "new", "found"),
    [
        ("bert", "0.6 x 2454 / 879 = 1.6751", "see above", "no quotient"),
        ("bert", "FP32 2454", "FP32 2545", "other medians"),
        ("bert", "= 1.6751", "= 1.6851", "wrong quotient"),
        ("bert", "0.6 x 2454 / 879 = 1.6751", "0.75 x 2454 / 879 = 2.0939", "wrong minimum"),
        ("bert", "b16x128", "batch 16", "no one shape"),
        ("bert", "b16x128", "b8x128", "wrong factor"),
        ("resnet50", "Res", "Provisional: not until measured at this shape. Res", "wrong mark"),
        ("bert", "Provisional: ", "", "wrong mark"),
        ("bert", "b16x128", "b4x128", "wrong shape"),
    ],
)
def test_changed_sources_are_found(model: str, old: str, new: str, found: str) -> None:
    gate = next(gate for gate in shipped("ipex") if gate.workload.model == model)
    assert fault(gate) is None
    assert old in gate.source
    bad = msgspec.structs.replace(gate, source=gate.source.replace(old, new))
    assert fault(bad) == found


def test_gemms_minima_are_of_the_suites_own_estimates() -> None:
    gates = [gate for gate in load_gates(None) if is_estimate(gate)]
    assert len(gates) == len(SPEEDUPS)
    for gate in gates:
        speedup = SPEEDUPS[gate.precision, gate.versus]
        exact = Fraction("0.75") * Fraction(speedup)
        assert f"quiet rounds: {speedup}; 0.75 x {speedup} = {float(exact):.4f}," in gate.source
        assert gate.minimum == math.floor(100 * exact) / 100


def test_known_good_speedups_hold_on_their_own_cores() -> None:
    assert {gate.cores for gate in load_gates(None) if gate.engine == "ipex"} == {(2, 2)}


@pytest.mark.parametrize("cores", [1, 2, 4, 8, 56])
@pytest.mark.parametrize("engine", ENGINES)
def test_every_amx_arm_has_one_gate_each(engine: str, cores: int) -> None:
    """Against FP32 and against no AMX, on any machine and at every level, but FP16."""
    gates = load_gates(None)
    for model, workload in WORKLOADS.items():
        for (mode, _), shape in workload.shapes.items():
            trial = Trial.of(Workload(model, mode), engine, shape, cores=cores)
            found = Counter((case, gate.versus) for gate, case, _ in gates_of(trial, gates))
            amx = [a for a in trial.arms if a.isa.allows_amx and a.precision in JUDGED]
            assert found == Counter(itertools.product(amx, (Versus.FP32, Versus.NO_AMX)))


def test_other_machines_are_not_judged_by_a_guest() -> None:
    """Minima that rest on figures of 2 cores judge nothing else; the rest says what it rests on."""
    for gate in load_gates(None):
        if gate.engine is None:
            assert gate.source.startswith("Provisional, by theory: "), gate.id
            bound = gate.workload.model == "gemm" and gate.cores == (1, 4)
            assert gate.minimum == (2.0 if bound else 1.0), gate.id
