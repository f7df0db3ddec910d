"""``amx-suite fleet report``: exit codes, both files, and what the terminal says."""

from __future__ import annotations

import json
import os
from pathlib import Path

import fleet_runs as fleet
import pytest
import sample_runs as runs

from amx_suite import cli
from amx_suite.core.run import RunSummary
from amx_suite.fleet.machines import machine_of_run
from amx_suite.fleet.report import judge_fleet

pytestmark = pytest.mark.selftest


def report(folder: Path, *options: str) -> int:
    return cli.main(["fleet", "report", str(folder), "--output", str(folder / "out"), *options])


def nodes_of(folder: Path) -> Path:
    """A list of the nodes that ``write_fleet`` wrote."""
    path = folder / "nodes.txt"
    path.write_text("\n".join(sorted(each.name for each in folder.glob("n[0-9]*"))))
    return path


def page(folder: Path) -> str:
    return (folder / "out" / "fleet.html").read_text()


def content(folder: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / "out" / "fleet.json").read_bytes())
    return found


def test_qualified_fleet_is_ok(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fleet.write_fleet(tmp_path, 20)
    assert report(tmp_path) == 0
    *_, last = capsys.readouterr().out.splitlines()
    assert last.startswith("amx-suite: QUALIFIED (exit code 0): 20 machines: 20 QUALIFIED; see ")
    assert last.endswith("out/fleet.html")
    assert "<strong>QUALIFIED</strong>" in page(tmp_path)
    assert content(tmp_path)["exit_code"] == 0


@pytest.mark.parametrize(
    ("base", "code", "answer"),
    [
        (runs.NOT_QUALIFIED, 1, "NOT QUALIFIED"),
        (runs.NOT_USABLE, 3, "AMX NOT USABLE"),
        (runs.INCONCLUSIVE, 4, "INCONCLUSIVE"),
    ],
)
def test_one_bad_machine_decides(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    base: RunSummary,
    code: int,
    answer: str,
) -> None:
    fleet.write_fleet(tmp_path, 3)
    fleet.write(tmp_path, "bad", fleet.run_of("bad", base=base))
    assert report(tmp_path) == code
    out = capsys.readouterr().out
    assert f"{answer} (exit code {code}): 4 machines: " in out
    assert " bad " in out
    assert ">bad</th>" in page(tmp_path)


def test_slow_machine_is_a_failure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its speedups are as good as others', because it is slow with and without AMX."""
    fleet.write_fleet(tmp_path, 20)
    fleet.write(tmp_path, "slow", fleet.run_of("slow", slower=1.3))
    assert report(tmp_path) == 1
    out = capsys.readouterr().out
    assert "1 slower than their like" in out
    assert "3 of 4" in out
    assert '<td data-column="slow figures"' in page(tmp_path)
    assert "1 outlier" in page(tmp_path)


def test_missing_node_is_undecided(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fleet.write_fleet(tmp_path, 5)
    nodes = nodes_of(tmp_path)
    nodes.write_text(f"{nodes.read_text()}\ngone\n")
    assert report(tmp_path, "--expect", str(nodes)) == 4
    assert "5 QUALIFIED, 1 without a result" in capsys.readouterr().out
    assert ">gone</th>" in page(tmp_path)


def test_only_cut_files_are_undecided(tmp_path: Path) -> None:
    fleet.write(tmp_path, "n1").write_text("{")
    assert report(tmp_path) == 4
    assert "is not JSON" in page(tmp_path)


def test_odd_configuration_is_named_and_harmless(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet.write_fleet(tmp_path, 20)
    fleet.write(tmp_path, "odd", fleet.run_of("odd", microcode="0x1"))
    assert report(tmp_path) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if "0x1 " in line)
    assert row.split() == ["microcode", "0x1", "0x2b000590", "1", "of", "21", "odd"]


def test_classes_are_never_mixed() -> None:
    """A machine with another torch may be slower than those of another class."""
    fast = [(f"n{n}", fleet.run_of(f"n{n}")) for n in range(9)]
    slow = [("old", fleet.run_of("old", slower=2.0, torch="2.7.0"))]
    found = judge_fleet([machine_of_run(name, name, run) for name, run in fast + slow])
    assert found.outliers == ()
    assert [len(each.machines) for each in found.classes] == [9, 1]
    same = [(name, fleet.run_of(name, slower=2.0)) for name, _ in slow]
    found = judge_fleet([machine_of_run(name, name, run) for name, run in fast + same])
    assert [each.name for each in found.outliers] == ["old"]


def test_few_machines_are_told_as_unjudged(tmp_path: Path) -> None:
    fleet.write_fleet(tmp_path, 3)
    fleet.write(tmp_path, "slow", fleet.run_of("slow", slower=9.0))
    assert report(tmp_path) == 0
    assert "Not judged: no class has 5 machines" in page(tmp_path)


def test_figures_of_few_rounds_are_left_out() -> None:
    assert len(machine_of_run("n", "n", fleet.run_of("n", rounds=12)).figures) == 4
    short = machine_of_run("n", "n", fleet.run_of("n", rounds=9))
    assert short.figures == ()


def test_findings_are_counted_apart_from_numbers() -> None:
    found = judge_fleet(
        [
            machine_of_run(name, name, runs.with_health(fleet.run_of(name), finding))
            for name, finding in (("a", runs.HOT), ("b", runs.HOT), ("c", runs.FAULT))
        ]
    )
    assert [(each.severity, each.machines) for each in found.findings] == [
        ("error", ("c",)),
        ("warning", ("a", "b")),
    ]


def test_several_results_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fleet.write_fleet(tmp_path, 5)
    fleet.write(tmp_path, "n01/again", fleet.run_of("n01", started="2025-11-23T08:00:00+00:00"))
    fleet.write(tmp_path, "n01/before", fleet.run_of("n01", base=runs.NOT_QUALIFIED))
    assert report(tmp_path, "--expect", str(nodes_of(tmp_path))) == 0
    assert "1 machine with several results: the newest counts" in capsys.readouterr().out
    assert "again/results.json counts, 2 earlier ones not" in page(tmp_path)


def test_foreign_text_is_escaped(tmp_path: Path) -> None:
    fleet.write_fleet(tmp_path, 5)
    fleet.write(tmp_path, "x", fleet.run_of("x", kernel="<script>"))
    assert report(tmp_path) == 0
    assert "&lt;script&gt;" in page(tmp_path)
    assert "<script>" not in page(tmp_path)


def test_odd_folder_names_do_no_harm(tmp_path: Path) -> None:
    fleet.write(tmp_path, os.fsdecode(b"n\xff"), fleet.run_of("vm"))
    assert report(tmp_path) == 0
    assert ">n?</span>" in page(tmp_path)
    assert content(tmp_path)["exit_code"] == 0


def test_large_fleets_make_a_short_page(tmp_path: Path) -> None:
    machines = [
        machine_of_run(name, name, fleet.run_of(name, base=runs.NOT_QUALIFIED))
        for name in (f"n{number}" for number in range(300))
    ]
    from amx_suite.fleet.report_page import render_page

    text = render_page(judge_fleet(machines))
    assert "and 200 more: see fleet.json" in text
    assert ">n99</th>" in text
    assert ">n100</th>" not in text


def test_same_fleet_gives_same_page(tmp_path: Path) -> None:
    fleet.write_fleet(tmp_path, 6)
    report(tmp_path)
    first = page(tmp_path)
    report(tmp_path)
    assert page(tmp_path) == first


def test_bad_use_is_a_usage_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert report(tmp_path) == 2
    assert "there is no results.json" in capsys.readouterr().err
    assert cli.main(["fleet"]) == 2
    assert cli.main(["fleet", "report"]) == 2
    fleet.write(tmp_path, "n1")
    (tmp_path / "file").write_text("")
    blocked = str(tmp_path / "file" / "out")
    assert cli.main(["fleet", "report", str(tmp_path), "--output", blocked]) == 2
