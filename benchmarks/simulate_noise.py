"""The decision on simulated shared machines: ``python benchmarks/simulate_noise.py [N]``.

Runs the real TrialSession on the fake machines of tests/selftest/simulated.py, from fixed seeds: N
trials (default 2000) of each row for false verdicts and a tenth of that for all others. Prints the
tables of docs/verdicts.md, with what each row has to reach.
"""

from __future__ import annotations

import math
import statistics
import sys
from collections import Counter
from multiprocessing import Pool
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "selftest"))

from simulated import AMX, COPY, VECTOR_NEIGHBOUR, SharedMachine, gate, run_trial

from amx_suite.core.case import Mode, Shape, Workload
from amx_suite.core.gate import Versus
from amx_suite.core.trial import Trial
from amx_suite.core.units import Unit
from amx_suite.core.verdict import GateResult, Verdict
from amx_suite.gates.loader import load_gates
from amx_suite.plugin.option_values import LEVEL_BUDGET_SECONDS
from amx_suite.trial.decide import gates_of
from amx_suite.workloads import WORKLOADS

QUIET: dict[str, Any] = {"busy": 0.0, "quiet": math.inf}
HOSTS: dict[str, dict[str, Any]] = {
    "quiet": QUIET,
    "quiet, 2 % jitter": {**QUIET, "jitter": 0.02},
    "3 s quiet, 3 s busy": {"quiet": 3.0, "busy": 3.0},
    "1 s quiet, 1 s busy": {"quiet": 1.0, "busy": 1.0},
    "10 s quiet, 10 s busy": {"quiet": 10.0, "busy": 10.0},
    "3 s quiet, 12 s busy": {"quiet": 3.0, "busy": 12.0},
    "always busy": {"quiet": 0.0, "busy": math.inf},
    "vector neighbour, 3 s and 3 s": {"quiet": 3.0, "busy": 3.0, "loss": VECTOR_NEIGHBOUR},
    "vector neighbour, always": {"quiet": 0.0, "busy": math.inf, "loss": VECTOR_NEIGHBOUR},
    **{
        f"steady neighbour, tiles at {share:.2f}": {
            "quiet": 0.0,
            "busy": math.inf,
            "loss": {Unit.TILE: 1 / share, Unit.FMA: 1.0, Unit.MEMORY: 1.0},
        }
        for share in (0.95, 0.90, 0.85)
    },
}
#: Seconds of a step at level 3's shapes on two CPUs with IPEX (docs/verdicts.md). Measured for
#: ResNet50 inference, else estimated from batch 16 in proportion to the batch.
_STEPS = {
    "fp32@no_amx": {"resnet50-inference": 0.868, "bert-inference": 1.227},
    "bf16@avx512_bf16": {"resnet50-inference": 1.205, "bert-inference": 1.632},
    "bf16@amx": {"resnet50-inference": 0.142, "bert-inference": 0.440},
    "int8@avx512_vnni": {"resnet50-inference": 0.238, "bert-inference": 0.341},
    "int8@amx": {"resnet50-inference": 0.164, "bert-inference": 0.257},
}
_STEPS["fp32@no_amx"] |= {"resnet50-training": 2.045, "bert-training": 1.175}
_STEPS["bf16@avx512_bf16"] |= {"resnet50-training": 2.404, "bert-training": 1.678}
_STEPS["bf16@amx"] |= {"resnet50-training": 1.101, "bert-training": 0.682}
_ResNet = {arm: steps["resnet50-inference"] for arm, steps in _STEPS.items()}
_TRUTH = _ResNet["fp32@no_amx"] / _ResNet["bf16@amx"]


class Row(NamedTuple):
    """One row: a host, the truth over the gate, the right verdict, and what to reach.

    At least ``share`` must be decided right, and at most ``wrong`` may be wrong; None where it is
    only reported.
    """

    host: str
    relative: float
    right: Verdict
    share: float | None
    wrong: float | None


_DECIDED = [
    *(
        Row(host, relative, right, 0.95, None)
        for host in ("quiet", "quiet, 2 % jitter")
        for relative, right in ((0.95, Verdict.FAIL), (1.05, Verdict.PASS))
    ),
    Row("3 s quiet, 3 s busy", 0.8, Verdict.FAIL, 0.90, 0.0),
    Row("3 s quiet, 3 s busy", 1.33, Verdict.PASS, 0.95, 0.0),
    *(
        Row(f"{s} s quiet, {s} s busy", relative, right, 0.85, 0.0)
        for s in (1, 10)
        for relative, right in ((0.8, Verdict.FAIL), (1.33, Verdict.PASS))
    ),
    *(
        Row(host, relative, right, None, 0.0)
        for host in ("3 s quiet, 12 s busy", "always busy")
        for relative, right in ((0.8, Verdict.FAIL), (1.33, Verdict.PASS))
    ),
    *(
        Row(f"vector neighbour, {how}", relative, Verdict.FAIL, None, 0.005)
        for how in ("3 s and 3 s", "always")
        for relative in (0.8, 0.95)
    ),
    *(
        Row(f"steady neighbour, tiles at {share:.2f}", 1.25, Verdict.PASS, None, 0.0)
        for share in (0.95, 0.90, 0.85)
    ),
]
#: All hosts with a truth 5 % off: at most 4 in 2,000 wrong.
_FALSE = [
    Row(host, relative, right, None, 4 / 2000)
    for host in HOSTS
    if not host.startswith("steady")
    for relative, right in ((1.05, Verdict.PASS), (0.95, Verdict.FAIL))
]


class Outcome(NamedTuple):
    """One simulated trial; ``covered`` is None without an interval."""

    verdict: Verdict
    seconds: float
    covered: bool | None


def one(task: tuple[Row, int]) -> Outcome:
    """Run the row's trial with that seed."""
    row, seed = task
    world = SharedMachine(f"{row.host} {row.relative} {seed}", **HOSTS[row.host])
    world.seconds.update(_ResNet)
    result = run_trial(world, [gate(_TRUTH / row.relative)])
    (found,) = result.gates
    speedup, seconds = found.speedup, sum(each.seconds for each in result.measurement.rounds)
    covered = None
    if speedup is not None and speedup.low is not None and speedup.high is not None:
        covered = speedup.low <= _TRUTH <= speedup.high
    return Outcome(found.verdict, seconds, covered)


def main() -> None:
    """Print all tables."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
    few = max(20, count // 10)
    with Pool() as pool:
        print(f"Decided right, {few} trials a row:\n")
        _table(pool, _DECIDED, few)
        print(f"\nFalse verdicts, {count} trials a row:\n")
        _table(pool, _FALSE, count)
        print(f"\nA/A controls, {few} trials a row:\n")
        _controls(pool, few)
        print(f"\nEvery gate of level 3 can fail, {few // 10} trials a row, quiet host:\n")
        _level_3(pool, few // 10)


def _table(pool: Any, rows: list[Row], count: int) -> None:
    print("| host | truth over gate | right | wrong | undecided | s | interval holds | asked |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for row in rows:
        found = pool.map(one, [(row, seed) for seed in range(count)], chunksize=10)
        verdicts = Counter(outcome.verdict for outcome in found)
        right, undecided = verdicts[row.right], verdicts[Verdict.INCONCLUSIVE]
        wrong = count - right - undecided
        covered = [outcome.covered for outcome in found if outcome.covered is not None]
        held = f"{statistics.fmean(covered):.1%}" if covered else "-"
        seconds = statistics.median(outcome.seconds for outcome in found)
        ok = (row.share is None or right >= row.share * count) and (
            row.wrong is None or wrong <= row.wrong * count
        )
        asked = [f"right >= {row.share:.0%}"] if row.share is not None else []
        asked += [f"wrong <= {row.wrong:.1%}"] if row.wrong is not None else []
        print(
            f"| {row.host} | {row.relative:g} | {row.right} {right / count:.1%} | {wrong} | "
            f"{undecided / count:.1%} | {seconds:.0f} | {held} | "
            f"{', '.join(asked) or 'reported'}: {'reached' if ok else 'MISSED'} |",
            flush=True,
        )


def control(task: tuple[str, float, int]) -> GateResult:
    """An arm against its copy, slower by a factor; the gate is halfway to 5 % slower."""
    host, slower, seed = task
    world = SharedMachine(f"control {host} {slower} {seed}", **HOSTS[host])
    world.seconds[COPY.arm] = world.seconds[AMX.arm] * slower
    (found,) = run_trial(world, [gate(1 / 1.025, Versus.CONTROL)], arms=(AMX, COPY)).gates
    return found


def _controls(pool: Any, count: int) -> None:
    print("| host | copy slower by | PASS | FAIL | undecided | ratio | SD |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for host in ("quiet", "3 s quiet, 3 s busy"):
        for slower in (1.0, 1.05, 1.2):
            found = pool.map(control, [(host, slower, seed) for seed in range(count)], chunksize=10)
            verdicts = Counter(result.verdict for result in found)
            logs = [math.log(result.speedup.ratio) for result in found if result.speedup]
            print(
                f"| {host} | {slower - 1:.0%} | {verdicts[Verdict.PASS]} | "
                f"{verdicts[Verdict.FAIL]} | {verdicts[Verdict.INCONCLUSIVE]} | "
                f"{math.exp(statistics.fmean(logs)):.3f} | {statistics.stdev(logs):.2%} |",
                flush=True,
            )


def slowed(task: tuple[str, str, float, int]) -> tuple[GateResult, float]:
    """A level 3 trial in which an AMX arm is slower than its gates allow, by a factor."""
    name, arm, slower, seed = task
    model, mode = name.split("-")
    workload, shape = Workload(model, Mode(mode)), _shape(name)
    trial = Trial.of(workload, "ipex", shape, cores=2)
    asked = [judged for judged in gates_of(trial, load_gates(None)) if judged[1].arm == arm]
    world = SharedMachine(f"{task}", **QUIET)
    world.seconds.update({a: steps[name] for a, steps in _STEPS.items() if name in steps})
    # Each gate alone, relative to its own baseline: the arm is that much too slow for it.
    chosen, _, baseline = asked[seed % len(asked)]
    world.seconds[arm] = world.seconds[baseline.arm] / chosen.minimum * slower
    budget = LEVEL_BUDGET_SECONDS[3]
    result = run_trial(world, [chosen], trial=trial, budget_seconds=budget)
    (found,) = result.gates
    return found, sum(each.seconds for each in result.measurement.rounds)


def _shape(name: str) -> Shape:
    model, mode = name.split("-")
    return WORKLOADS[model].shapes[Mode(mode), 3]


def _level_3(pool: Any, count: int) -> None:
    print("| trial | arm | too slow by | FAIL | other | s |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name in ("resnet50-inference", "bert-inference", "resnet50-training", "bert-training"):
        for arm in ("bf16@amx", "int8@amx"):
            if name not in _STEPS[arm]:
                continue
            for words, slower in (("20 %", 1.25), ("4 times", 4.0)):
                tasks = [(name, arm, slower, seed) for seed in range(count)]
                found = pool.map(slowed, tasks)
                failed = sum(result.verdict is Verdict.FAIL for result, _ in found)
                others = Counter(str(r.lack or r.verdict) for r, _ in found)
                del others["FAIL"]
                seconds = statistics.median(seconds for _, seconds in found)
                print(
                    f"| {name} {_shape(name)} | {arm} | {words} | {failed} of {count} | "
                    f"{dict(others) or '-'} | {seconds:.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
