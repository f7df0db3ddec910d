"""Real trials whose answer is known: ``python benchmarks/aa_control.py MODEL ARM [options]``.

ARM, such as ``fp32@no_amx`` or ``bf16@amx``, is measured against itself in a second process: an A/A
control, whose speedup is 1. With ``--slower 0.2`` a busy wait behind each slice (``slow_arm.py``)
makes the second one a fifth slower. The minimum lies halfway between equal and 5 % slower, so a
FAIL of equals is a false alarm and a PASS of a slower one is a miss. The rest is as in any trial:
waiting for quiet, rounds, a second launch, evidence, the decision.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import statistics
import sys
import time
from collections import Counter
from pathlib import Path

import msgspec

from amx_suite.core.case import Arm, Mode, Workload
from amx_suite.core.gate import Gate, Versus
from amx_suite.core.instance import Instance
from amx_suite.core.isa import Isa
from amx_suite.core.measurement import lost_share
from amx_suite.core.precision import Precision
from amx_suite.core.quiet import Reference
from amx_suite.core.trial import Trial, TrialResult
from amx_suite.core.verdict import Verdict
from amx_suite.host.fingerprint import host_traits
from amx_suite.host.instance import choose_instance
from amx_suite.host.limits import read_limits
from amx_suite.host.lock import MachineLock
from amx_suite.host.support import detect
from amx_suite.host.tile_units import theory_of
from amx_suite.host.topology import read_topology
from amx_suite.trial.calibrate import DEFAULT_SECONDS, calibrate, describe, load_calibration
from amx_suite.trial.session import TrialSession
from amx_suite.worker.process import IsaWorker
from amx_suite.worker.unit_probe import UnitProbe
from amx_suite.workloads import WORKLOADS
from amx_suite.workloads.base import Inputs

#: Halfway between equal and 5 % slower.
_MINIMUM = 1 / 1.025


def main() -> int:
    """Run the trials one after the other and print each, then all in one table row."""
    asked = _asked()
    instance = choose_instance(read_topology(), read_limits(), asked.cores)
    named = asked.arm.split("@")
    precision, isa = Precision(named[0]), Isa(named[1])
    workload = Workload(asked.model, Mode.INFERENCE)
    shape = min(
        (lv, s) for (m, lv), s in WORKLOADS[asked.model].shapes.items() if m is Mode.INFERENCE
    )[1]
    case = Arm(workload, asked.engine, precision, isa, shape, instance.cores)
    gate = Gate(workload, precision, Versus.CONTROL, shape, _MINIMUM, "halfway to 5 % slower")
    results = []
    with MachineLock().acquire(True, print):
        reference = _reference(instance)
        for number in range(asked.trials):
            trial = Trial(
                f"control {number}",
                workload,
                shape,
                (case, msgspec.structs.replace(case, copy=2)),
                number,
            )
            began = time.monotonic()
            result = _run(trial, gate, asked, reference, instance)
            results.append(result)
            found = result.gates[0]
            ratio = "-" if found.speedup is None else f"{found.speedup.ratio:.4f}"
            print(
                f"{number + 1}: {found.verdict}, ratio {ratio}, lost "
                f"{lost_share(result.measurement.rounds):.0%}, {time.monotonic() - began:.0f} s: "
                f"{found.reason}",
                flush=True,
            )
            if asked.output:
                asked.output.write_bytes(msgspec.json.encode(results))
    print(_summary(asked, results))
    return 0


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", choices=sorted(WORKLOADS))
    parser.add_argument("arm")
    parser.add_argument("--engine", default="ipex")
    parser.add_argument("--trials", type=int, default=10)
    parser.add_argument("--slower", type=float, default=0.0)
    parser.add_argument("--budget", type=float, default=60.0)
    parser.add_argument("--cores", type=int)
    parser.add_argument("--output", type=Path, help="write all results there as JSON")
    return parser.parse_args()


def _reference(instance: Instance) -> Reference:
    facts, _ = detect()
    machine = host_traits(facts)
    stored = load_calibration(None, machine, instance.cores)
    if stored is None:
        with UnitProbe(instance.cpus) as prober:
            stored = calibrate(
                prober,
                DEFAULT_SECONDS,
                theory=theory_of(facts),
                machine=machine,
                cores=instance.cores,
            )
    print(describe(stored), flush=True)
    return stored.reference


def _run(
    trial: Trial,
    gate: Gate,
    asked: argparse.Namespace,
    reference: Reference,
    instance: Instance,
) -> TrialResult:
    cpus = instance.cpus

    def start(arm: Arm) -> IsaWorker:
        module = "slow_arm" if arm.is_copy and asked.slower else "amx_suite.worker.handler"
        return IsaWorker(arm.isa, arm.engine, cpus=cpus, label=arm.id, module=module)

    os.environ["AA_CONTROL_SLOWER"] = str(asked.slower)
    session = TrialSession(
        trial,
        [gate],
        start=start,
        start_probe=lambda: UnitProbe(cpus),
        host={},
        cpus=cpus,
        budget_seconds=asked.budget,
        inputs=Inputs(),
        reference=reference,
    )
    try:
        return session.result()
    finally:
        session.close()


def _summary(asked: argparse.Namespace, results: list[TrialResult]) -> str:
    found = [result.gates[0] for result in results]
    verdicts = Counter(result.verdict for result in found)
    lacks = Counter(str(result.lack) for result in found if result.lack)
    logs = [math.log(r.speedup.ratio) for r in found if r.speedup and r.speedup.pairs >= 10]
    spread = f"{statistics.stdev(logs):.2%}" if len(logs) > 1 else "-"
    ratio = f"{math.exp(statistics.fmean(logs)):.4f}" if logs else "-"
    row = (
        f"{asked.model} {asked.arm}, {asked.engine}",
        f"{asked.slower:.0%}",
        len(found),
        verdicts[Verdict.PASS],
        verdicts[Verdict.FAIL],
        f"{verdicts[Verdict.INCONCLUSIVE]} {json.dumps(lacks) if lacks else ''}".strip(),
        ratio,
        spread,
    )
    header = ("case", "slower", "trials", "PASS", "FAIL", "undecided", "ratio", "SD")
    lines = (header, ["---"] * len(header), row)
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
