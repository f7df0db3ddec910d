"""The real Apache Otava on what ``amx-suite export`` writes of sixty nights.

The nights are made from one recorded run: all slices of an AMX arm are slower or faster by one
factor a night.
"""

from __future__ import annotations

import json
import math
import random
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from amx_suite import cli

ROOT = Path(__file__).parents[2]
RECORDED = ROOT / "docs" / "example" / "results.json"
#: It pins versions of numpy and scipy, so it has an environment of its own.
INSTALL = (
    "needs Apache Otava: python3 -m venv .venv-otava && .venv-otava/bin/pip install "
    "apache-otava==0.8.0"
)
OTAVA = shutil.which("otava") or shutil.which(ROOT / ".venv-otava" / "bin" / "otava")

pytestmark = [pytest.mark.fleet, pytest.mark.skipif(OTAVA is None, reason=INSTALL)]

SEEDS, NIGHTS, SPREAD = range(10), 60, 0.015
#: The step: from this night on the BF16 arm is 5 % slower.
STEP_AT, STEP = 40, 0.05
BF16, INT8 = (
    f"gemm-inference-{precision}-amx-ipex-b16x128-c2-s0" for precision in ("bf16", "int8")
)
#: What the nightly job does with the exported table.
PAGE = (ROOT / "docs" / "nightly.md").read_text(encoding="utf-8")
STEP_OF_JOB = re.search(r"^ +gates=.*?regressions_only$", PAGE, re.DOTALL | re.MULTILINE)


def nights(seed: int, step: float) -> Iterator[str]:
    """The text of each night's ``results.json``; ``step`` is by how much BF16 gets slower."""
    run = json.loads(RECORDED.read_text())["amx_suite"]
    (trial,) = run["trials"]
    measurement = trial["measurement"]
    quiet = [round_ for round_ in measurement["rounds"] if len(round_["slices"]) == 5]
    noise = random.Random(seed)
    for night in range(NIGHTS):
        slower = {arm: math.exp(noise.gauss(0.0, SPREAD)) for arm in (BF16, INT8)}
        slower[BF16] *= 1 + step * (night >= STEP_AT)
        # The recorded run was on a busy machine and has too few quiet rounds: they are repeated.
        rounds = [
            {
                **round_,
                "index": index,
                "disturbed": [],
                "slices": [
                    {**piece, "seconds": piece["seconds"] * slower.get(piece["arm_id"], 1.0)}
                    for piece in round_["slices"]
                ],
            }
            for index, round_ in enumerate(quiet * 4)
        ]
        started = f"2026-{1 + night // 28:02}-{1 + night % 28:02}T02:00:00+00:00"
        changed = {**trial, "measurement": {**measurement, "rounds": rounds}}
        yield json.dumps({"amx_suite": {**run, "trials": [changed], "started": started}})


def change_points(
    folder: Path, step: float, seeds: Iterable[int] = SEEDS
) -> list[list[tuple[int, str]]]:
    """For each seed the (night, gate) at which Otava sees a change."""
    tests = []
    for seed in seeds:
        files = []
        for night, text in enumerate(nights(seed, step)):
            files.append(folder / f"{seed}-{night}.json")
            files[-1].write_text(text)
        table = folder / f"{seed}.csv"
        names = map(str, files)
        assert cli.main(["export", *names, "--format", "otava", "--output", str(table)]) == 0
        gates = table.read_text().partition("\n")[0].split(",")[4:]
        tests.append(
            f"  seed-{seed}:\n    type: csv\n    file: {table}\n    time_column: time\n"
            f"    attributes: [machine, torch, measured]\n    metrics: [{','.join(gates)}]\n"
        )
    config = folder / "otava.yaml"
    config.write_text("tests:\n" + "".join(tests))
    assert OTAVA is not None
    ended = subprocess.run(
        [OTAVA, "analyze", *(f"seed-{seed}" for seed in seeds), "--output", "json"],
        env={"OTAVA_CONFIG": str(config)},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    # It ends with 0 even if it could not read a file.
    assert "ERROR" not in ended.stderr
    found: dict[str, list[dict]] = {}
    for line in ended.stdout.splitlines():
        found |= json.loads(line)
    return [
        [
            (change["index"], change["metric"])
            for group in found[f"seed-{seed}"]
            for change in group["changes"]
        ]
        for seed in seeds
    ]


def test_otava_finds_a_step(tmp_path: Path) -> None:
    found = change_points(tmp_path, STEP)
    wanted = {f"{BF16}-vs-{versus}" for versus in ("fp32", "no-amx")}
    right = [
        {gate for _, gate in points} == wanted
        and all(abs(night - STEP_AT) <= 3 for night, _ in points)
        for points in found
    ]
    assert sum(right) >= 9, found


def test_otava_finds_nothing_without_a_step(tmp_path: Path) -> None:
    found = change_points(tmp_path, 0.0)
    assert sum(not points for points in found) >= 9, found


def test_nightly_job_shows_the_step(tmp_path: Path) -> None:
    change_points(tmp_path, STEP, seeds=[0])
    (tmp_path / "0.csv").rename(tmp_path / "speedups.csv")
    assert OTAVA is not None
    assert STEP_OF_JOB is not None
    ended = subprocess.run(
        ["sh", "-c", STEP_OF_JOB[0]],
        cwd=tmp_path,
        env={"PATH": f"{Path(OTAVA).parent}:/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert ended.stdout.startswith("Regressions in amx:")
    shown = re.findall(r"^ +(\S+):", ended.stdout, re.MULTILINE)
    assert shown == [f"{BF16}-vs-fp32", f"{BF16}-vs-no-amx"]
