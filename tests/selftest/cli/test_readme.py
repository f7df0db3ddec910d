"""The README states figures that live in tables; a table that changes must change it too."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from amx_suite import cli
from amx_suite.gates import load_gates
from amx_suite.options import LEVEL_BUDGET_SECONDS, OPTIONS
from amx_suite.workloads import WORKLOADS

pytestmark = pytest.mark.selftest


@pytest.fixture(scope="module")
def readme() -> str:
    return (Path(__file__).parents[3] / "README.md").read_text()


def section(text: str, name: str) -> str:
    return text.split(f"\n## {name}\n", 1)[1].split("\n## ", 1)[0]


def row(text: str, start: str) -> list[str]:
    (line,) = (line for line in text.splitlines() if line.startswith(f"| {start} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_every_option_is_there_and_no_other(readme: str) -> None:
    options = section(readme, "Options")
    rows = [line for line in options.splitlines() if line.startswith("| `--")]
    assert len(rows) == len(OPTIONS)
    for option, line in zip(OPTIONS, rows, strict=True):
        metavar = "" if option.metavar is None else f" {option.metavar}"
        assert f"| `--{option.name}{metavar}` | `--amx-{option.name}` |" in line
    for seconds in LEVEL_BUDGET_SECONDS.values():
        assert f"{seconds:g}" in next(line for line in rows if "budget" in line)


def test_every_option_of_calibrate_alone_is_there(
    readme: str, capsys: pytest.CaptureFixture[str]
) -> None:
    cli.main(["calibrate", "--help"])
    own = set(re.findall(r"--([a-z]+)", capsys.readouterr().out))
    own -= {"help", "no", *(option.name for option in OPTIONS)}
    noise = section(readme, "Noise")
    assert own == {"seconds"}
    assert "--seconds" in noise


def test_every_gate_is_there_with_its_minimum(readme: str) -> None:
    gates = section(readme, "Gates")
    columns = [("bf16", "fp32"), ("bf16", "no-amx"), ("int8", "fp32"), ("int8", "no-amx")]
    for gate in load_gates(None):
        scope = f"{gate.workload.model} {gate.workload.mode} {gate.shape}"
        of_ipex = gate.engine == "ipex"
        cells = row(gates, scope if of_ipex else "each of these, for `eager` and `inductor`")
        assert cells[1 + columns.index((gate.precision, gate.versus))] == f"{gate.minimum:.2f}"


def test_every_shape_is_there_at_its_level(readme: str) -> None:
    levels = section(readme, "Levels")
    for workload in WORKLOADS.values():
        for (mode, level), shape in workload.shapes.items():
            assert str(shape) in " ".join(row(levels, str(level))), f"{workload.name} {mode}"
