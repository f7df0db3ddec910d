"""What `amx-suite fleet report` finds: python benchmarks/simulate_fleet.py [SEEDS [MACHINES]].

For each seed (default 10) makes up the results.json of as many machines (default 1000), runs the
command on them in a process of its own, and prints a row of a Markdown table: which of the planted
machines it named, how many others, its exit code, how long it took, and its peak memory.

The files are made from docs/example/results.json: two trials of five arms and four gates, 18
figures. A machine's steps differ by a factor of its own and each arm's by one more, both log-normal
with 1.41 %, so that each figure, time or speedup, has a spread of 2 % over the machines; slices
within a run have 1.4 %. Three machines are 15 % slower: in one arm on AMX, in all arms on AMX, in
everything. Two are set up differently: an older microcode, and another frequency governor.
"""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np

from amx_suite.core.case import Arm, Mode, Workload
from amx_suite.core.isa import Isa
from amx_suite.core.measurement import Round, Slice
from amx_suite.core.run import CheckOutcome, RunSummary
from amx_suite.core.trial import TrialResult
from amx_suite.core.verdict import Verdict
from amx_suite.history.store import load_summary
from amx_suite.trial.interval import paired_speedup

_EXAMPLE = Path(__file__).parents[1] / "docs" / "example" / "results.json"
_WORKLOADS = tuple(Workload(model, Mode.INFERENCE) for model in ("resnet50", "bert"))
_ROUNDS = 12
_SPREAD = 0.02 / math.sqrt(2)
_JITTER = 0.014
_LOSS = 0.15
_SLOW = ("one arm", "arms on AMX", "everything")
_DIFFERENT = ("microcode", "governor")


class _Planted(NamedTuple):
    """The numbers of the machines that something is wrong with, and what."""

    slow: dict[int, str]
    different: dict[int, str]


def main() -> None:
    """Print the table."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else 10
    machines = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    template = _template()
    header = (
        "seed",
        "slow named",
        "different named",
        "false",
        "exit code",
        "s",
        "s of CPU",
        "peak MiB",
    )
    print("| " + " | ".join(header) + " |")
    print("| " + " | ".join(["---"] * len(header)) + " |")
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as folder:
            print(
                "| " + " | ".join(_row(seed, machines, template, Path(folder))) + " |", flush=True
            )


def _row(seed: int, machines: int, template: RunSummary, folder: Path) -> tuple[str, ...]:
    generator = np.random.default_rng(seed)
    numbers = [int(n) for n in generator.choice(machines, 5, replace=False)]
    planted = _Planted(
        dict(zip(numbers, _SLOW, strict=False)), dict(zip(numbers[3:], _DIFFERENT, strict=True))
    )
    rest = {k: v for k, v in json.loads(_EXAMPLE.read_bytes()).items() if k != "amx_suite"}
    start = json.dumps(rest).removesuffix("}").encode()
    for number in range(machines):
        run = _run(template, generator, number, planted)
        node = folder / "nodes" / _name(number)
        node.mkdir(parents=True)
        content = start + b', "amx_suite": ' + msgspec.json.encode(run) + b"}"
        # As pytest-benchmark writes it.
        (node / "results.json").write_bytes(msgspec.json.format(content, indent=4))
    cost = _report(folder)
    fleet = json.loads((folder / "report" / "fleet.json").read_bytes())
    slow = {each["name"] for each in fleet["outliers"]}
    usual = [each for each in fleet["deviations"] if each["usual"] is not None]
    different = {name for each in usual for name in each["machines"]}
    wanted = {_name(number) for number in planted.slow}, {_name(n) for n in planted.different}
    false = len(slow - wanted[0]) + len(different - wanted[1])
    found = [
        f"{len(got & want)} of {len(want)}"
        for got, want in zip((slow, different), wanted, strict=True)
    ]
    return (str(seed), *found, str(false), *cost)


def _report(folder: Path) -> tuple[str, ...]:
    """Exit code, seconds, seconds of CPU and peak MiB of the command on the folder's nodes."""
    command = [
        *(sys.executable, "-m", "amx_suite", "fleet", "report", str(folder / "nodes")),
        *("--output", str(folder / "report")),
    ]
    started = time.perf_counter()
    with (folder / "output.txt").open("wb") as output:
        process = os.posix_spawn(
            command[0],
            command,
            os.environ,
            file_actions=[(os.POSIX_SPAWN_DUP2, output.fileno(), each) for each in (1, 2)],
        )
        _, status, usage = os.wait4(process, 0)
    seconds = time.perf_counter() - started
    cpu = usage.ru_utime + usage.ru_stime
    code = os.waitstatus_to_exitcode(status)
    return str(code), f"{seconds:.1f}", f"{cpu:.1f}", f"{usage.ru_maxrss / 1024:.0f}"


def _name(number: int) -> str:
    return f"node{number:04}"


def _template() -> RunSummary:
    """The example's run as if it had passed, with its trial under two names."""
    run, _ = load_summary(_EXAMPLE)
    assert run.health_before is not None
    checks = tuple(
        msgspec.structs.replace(check, outcome=CheckOutcome.PASSED, reason="")
        if check.outcome is CheckOutcome.INCONCLUSIVE
        else check
        for check in run.checks
    )
    health = msgspec.structs.replace(run.health_before, governors={"performance": 2})
    trials = tuple(_renamed(run.trials[0], workload) for workload in _WORKLOADS)
    return msgspec.structs.replace(
        run, checks=checks, trials=trials, health_before=health, health_after=health
    )


def _renamed(trial: TrialResult, workload: Workload) -> TrialResult:
    measurement = trial.measurement
    ids: dict[str, str] = {}

    def renamed(case: Arm) -> Arm:
        changed = msgspec.structs.replace(case, workload=workload)
        ids[case.id] = changed.id
        return changed

    arms = tuple(msgspec.structs.replace(f, case=renamed(f.case)) for f in measurement.arms)
    rounds = tuple(
        msgspec.structs.replace(
            measurement.rounds[index % len(measurement.rounds)], index=index, launch=0
        )
        for index in range(_ROUNDS)
    )
    gates = tuple(
        msgspec.structs.replace(
            result,
            gate=msgspec.structs.replace(result.gate, workload=workload),
            candidate_id=ids[result.candidate_id],
            baseline_id=ids[result.baseline_id],
            verdict=Verdict.PASS,
            reason="",
            remedy="",
            lack=None,
        )
        for result in trial.gates
    )
    name = f"{workload}-{arms[0].case.engine}"
    changed = msgspec.structs.replace(measurement, trial=name, arms=arms, rounds=rounds)
    return TrialResult(changed, gates)


def _run(
    template: RunSummary, generator: np.random.Generator, number: int, planted: _Planted
) -> RunSummary:
    fault = planted.slow.get(number) or planted.different.get(number)
    machine = math.exp(generator.normal(0, _SPREAD)) / (1 - _LOSS * (fault == "everything"))
    trials = tuple(_timed(trial, generator, machine, fault) for trial in template.trials)
    changes: dict[str, Any] = {"trials": trials}
    changes["identity"] = msgspec.structs.replace(template.identity, host_name=_name(number))
    if fault == "microcode":
        changes["machine"] = {**template.machine, "microcode": "0x2b000461"}
    if fault == "governor":
        changes["health_before"] = msgspec.structs.replace(
            template.health_before, governors={"powersave": 2}
        )
    return msgspec.structs.replace(template, **changes)


def _timed(
    trial: TrialResult, generator: np.random.Generator, machine: float, fault: str | None
) -> TrialResult:
    """The trial with the steps of a machine that needs ``machine`` times as long."""
    measurement = trial.measurement
    factors = {}
    for facts in measurement.arms:
        case = facts.case
        slow = fault == "arms on AMX" or (
            fault == "one arm" and case.workload == _WORKLOADS[0] and case.precision == "bf16"
        )
        loss = _LOSS if slow and case.isa is Isa.AMX else 0.0
        factors[case.id] = machine * math.exp(generator.normal(0, _SPREAD)) / (1 - loss)
    # Milliseconds of a step on the usual machine, so that AMX is the fastest.
    steps = dict(zip(factors, (77.0, 116.6, 11.3, 16.0, 5.5), strict=True))
    rounds = tuple(_round(each, steps, factors, generator) for each in measurement.rounds)
    timed = msgspec.structs.replace(measurement, rounds=rounds)
    gates = tuple(
        msgspec.structs.replace(
            result,
            speedup=paired_speedup(timed.pairs(result.baseline_id, result.candidate_id)),
        )
        for result in trial.gates
    )
    return TrialResult(timed, gates)


def _round(
    template: Round,
    steps: dict[str, float],
    factors: dict[str, float],
    generator: np.random.Generator,
) -> Round:
    """A round like the template's, with its readings, all slices quiet."""
    known = (*template.slices, *template.disturbed)[0]
    slices = tuple(
        Slice(
            arm_id,
            10 * steps[arm_id] / 1e3 * factor * math.exp(generator.normal(0, _JITTER)),
            10,
            known.before,
            known.after,
        )
        for arm_id, factor in factors.items()
    )
    return msgspec.structs.replace(template, slices=slices, disturbed=())


if __name__ == "__main__":
    main()
