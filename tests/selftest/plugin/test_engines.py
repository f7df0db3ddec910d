"""Whole runs with several engines: rows, the table, and what a broken engine costs."""

import json

import msgspec
import pytest

from amx_suite.core.run import RunSummary
from amx_suite.report import render_markdown

pytestmark = pytest.mark.selftest

ENGINES = {"engines": ["ipex", "eager"]}


def run_of_resnet50(run, folder, *arguments, **machine):
    options = ("--amx-level", "3", "-k", "test_beside_the_first and resnet50")
    return run(folder, *options, *arguments, machine={**ENGINES, **machine})


@pytest.fixture(scope="module")
def rivals(run_suite_in, tmp_path_factory):
    """The output of one run of two engines of different speeds, and its JSON."""
    folder = tmp_path_factory.mktemp("rivals")
    seconds = {"eager:bf16@amx": 0.3, "eager:int8@amx": 0.08}
    done = run_of_resnet50(run_suite_in, folder, "--benchmark-json=out.json", seconds=seconds)
    assert done.returncode == 0, done.stdout
    return done.stdout, json.loads((folder / "out.json").read_text())


def test_each_engine_but_the_first_has_a_row_of_ratios(rivals):
    _, written = rivals
    medians = {row["param"]: row["stats"]["median"] for row in written["benchmarks"]}
    assert medians == pytest.approx(
        {
            "resnet50-inference-fp32-avx512-eager-vs-ipex": 1.0,
            "resnet50-inference-bf16-amx-eager-vs-ipex": 2.0,
            "resnet50-inference-int8-amx-eager-vs-ipex": 0.5,
            "resnet50-training-fp32-avx512-eager-vs-ipex": 1.0,
            "resnet50-training-bf16-amx-eager-vs-ipex": 2.0,
        }
    )
    assert {row["extra_info"]["engine"] for row in written["benchmarks"]} == {"eager"}


def test_terminal_and_page_put_the_engines_side_by_side(rivals):
    shown, written = rivals
    page = render_markdown(msgspec.convert(written["amx_suite"], RunSummary))
    section = page.split("\n## Engines side by side\n")[1].split("\n## ")[0]
    assert "| workload | arm | ipex | eager |" in section
    cells = ("resnet50-inference b16x224", "bf16@amx", "150.0 ms", "300.0 ms 0.50x [0.50, 0.50]")
    assert f"| {' | '.join(cells)} |" in section
    assert "times as fast as ipex in the same rounds" in shown
    assert " ".join(cells) in " ".join(shown.split())
    assert "over no AMX" not in shown
    assert "preparing eager (2 of 2)" in shown


def test_what_is_broken_unproven_or_too_short_passes_for_nothing(run_suite_in, tmp_path):
    done = run_of_resnet50(
        run_suite_in,
        tmp_path,
        *("--amx-budget", "0.001", "-rf"),
        faults={"eager:fp32@avx512 prepare": "died"},
        amx_share={"eager:int8@amx": 0.0},
    )
    assert done.returncode == 1
    assert "3 failed" in done.stdout
    assert "2 inconclusive" in done.stdout
    assert "passed" not in done.stdout.splitlines()[-1]
    assert "killed by SIGKILL" in done.stdout
    assert "NO_EVIDENCE: eager: int8@amx: 0% of the matrix" in done.stdout
    assert "INCONCLUSIVE: 1 quiet rounds in 0 s, and 10 are needed" in done.stdout
