"""``amx-suite report``: report.html from results.json."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest
import sample_runs as runs
import stored_runs

from amx_suite import cli

pytestmark = pytest.mark.selftest


@pytest.fixture
def results(tmp_path: Path) -> Path:
    return stored_runs.write(tmp_path / "results.json", runs.NOT_QUALIFIED)


def test_report_stands_beside_the_results(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["report", str(results)]) == 0
    page = results.with_name("report.html").read_text()
    assert "<strong>NOT QUALIFIED</strong>" in page
    assert sha256(results.read_bytes()).hexdigest() in page
    assert f"report in {results.with_name('report.html')}" in capsys.readouterr().out


@pytest.mark.parametrize("stream", ["-", "/dev/fd/1"])
def test_output_names_the_file_or_prints(
    results: Path, capfd: pytest.CaptureFixture[str], stream: str
) -> None:
    other = results.parent / "new" / "r.html"
    assert cli.main(["report", str(results), "--output", str(other)]) == 0
    capfd.readouterr()
    assert cli.main(["report", str(results), "--output", stream]) == 0
    assert capfd.readouterr().out == other.read_text()
    assert not results.with_name("report.html").exists()


def test_anonymous_report_says_so(results: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["report", str(results), "--anonymous", "--output", "-"]) == 0
    assert "What names the machine was left out" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (None, "cannot be read"),
        ("{", "is not JSON"),
        ('{"benchmarks": []}', "was not written by amx-suite"),
        ('{"amx_suite": {"schema_version": 1}}', "has schema version 1"),
        ('{"amx_suite": {"schema_version": 6}}', "is damaged"),
    ],
)
def test_bad_file_is_a_usage_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, fault: str
) -> None:
    path = tmp_path / "r.json"
    if content is not None:
        path.write_text(content)
    assert cli.main(["report", str(path)]) == 2
    assert fault in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()


def test_unwritable_output_is_a_usage_error(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    blocked = results / "r.html"
    assert cli.main(["report", str(results), "--output", str(blocked)]) == 2
    assert "cannot write in" in capsys.readouterr().err
    before = results.read_bytes()
    assert cli.main(["report", str(results), "--output", str(results)]) == 2
    assert "is also read; name another file" in capsys.readouterr().err
    assert results.read_bytes() == before


@pytest.mark.parametrize("ratio", [float("nan"), float("inf"), 0.0, -1.0, 5e-324])
def test_impossible_speedup_is_no_report(
    results: Path, capsys: pytest.CaptureFixture[str], ratio: float
) -> None:
    content = json.loads(results.read_text())
    (gate,) = content["amx_suite"]["trials"][0]["gates"]
    gate["speedup"]["ratio"] = ratio
    results.write_text(json.dumps(content))
    assert cli.main(["report", str(results)]) == 2
    assert f"found {ratio!r}; name a results.json" in capsys.readouterr().err
