from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sample_runs as runs

from amx_suite import cli, qualify
from amx_suite.core.run import RunSummary
from amx_suite.plugin import SUMMARY

pytestmark = pytest.mark.selftest


class FakePytest:
    """Stands in for ``pytest.main``: ends as told and leaves the summary as told."""

    def __init__(
        self, ended: int = 0, summary: RunSummary | None = None, benchmarks: bool = True
    ) -> None:
        self.ended = ended
        self.summary = summary
        self.benchmarks = benchmarks
        self.arguments: list[str] = []
        self.environ: dict[str, str] = {}

    def __call__(self, arguments: list[str], plugins: list[Any]) -> int:
        self.arguments = arguments
        self.environ = dict(os.environ)
        if self.ended != pytest.ExitCode.USAGE_ERROR:
            plugins[0].pytest_runtestloop()
        if self.benchmarks:
            Path(self.value("--benchmark-json")).write_text('{"benchmarks": [1]}')
        Path(self.value("--junitxml")).write_text("<testsuites/>")
        stash = pytest.Stash()
        if self.summary is not None:
            stash[SUMMARY] = self.summary
        plugins[0].pytest_unconfigure(SimpleNamespace(stash=stash))
        return self.ended

    def value(self, option: str) -> str:
        (found,) = (a for a in self.arguments if a.startswith(f"{option}="))
        return found.partition("=")[2]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with two of the five conformance folders, and the results folder beside it."""
    root = tmp_path / "checkout"
    for name in ("detection", "performance", "selftest"):
        (root / "tests" / name).mkdir(parents=True)
    monkeypatch.setattr(qualify, "_checkout", lambda: root)
    for name in [name for name in os.environ if name.startswith("AMX_SUITE_")]:
        monkeypatch.delenv(name)
    return root


def run(
    monkeypatch: pytest.MonkeyPatch, fake: FakePytest, output: Path, *more: str
) -> tuple[int, FakePytest]:
    monkeypatch.setattr(pytest, "main", fake)
    return cli.main(["qualify", "--output", str(output), *more]), fake


@pytest.mark.parametrize(
    ("summary", "code"),
    [
        (runs.QUALIFIED, 0),
        (runs.NOT_QUALIFIED, 1),
        (runs.NOT_USABLE, 3),
        (runs.INCONCLUSIVE, 4),
        (runs.summary(), 4),
    ],
)
def test_the_exit_code_is_the_answer(
    checkout: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    summary: RunSummary,
    code: int,
) -> None:
    output = tmp_path / "out"
    ended = 1 if code == 1 else 0
    assert run(monkeypatch, FakePytest(ended, summary), output)[0] == code
    assert sorted(entry.name for entry in output.iterdir()) == sorted(qualify.RESULT_FILES)
    assert f"**{summary.qualification}: " in (output / "summary.md").read_text()
    assert json.loads((output / "results.json").read_text()) == {"benchmarks": [1]}
    assert f"amx-suite: {summary.qualification}: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        (pytest.ExitCode.OK, 0),
        (pytest.ExitCode.TESTS_FAILED, 1),
        (pytest.ExitCode.INTERRUPTED, 4),
        (pytest.ExitCode.INTERNAL_ERROR, 1),
        (pytest.ExitCode.USAGE_ERROR, 2),
        (pytest.ExitCode.NO_TESTS_COLLECTED, 1),
        (77, 1),
    ],
)
def test_a_pytest_that_did_not_end_well_is_never_0(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: int, code: int
) -> None:
    assert run(monkeypatch, FakePytest(ended, runs.QUALIFIED), tmp_path / "out")[0] == code


@pytest.mark.parametrize(("ended", "code"), [(0, 1), (3, 1), (4, 2)])
def test_a_run_without_a_summary_is_an_error(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: int, code: int
) -> None:
    output = tmp_path / "out"
    assert run(monkeypatch, FakePytest(ended), output)[0] == code
    assert list(output.iterdir()) == []


def test_results_of_an_earlier_run_are_gone_even_if_this_one_dies(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out"
    assert run(monkeypatch, FakePytest(0, runs.QUALIFIED), output)[0] == 0
    (output / "mine.txt").touch()
    assert run(monkeypatch, FakePytest(3), output)[0] == 1
    assert [entry.name for entry in output.iterdir()] == ["mine.txt"]


def test_a_refused_run_leaves_earlier_results(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out"
    run(monkeypatch, FakePytest(0, runs.QUALIFIED), output)
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    assert run(monkeypatch, FakePytest(4), output)[0] == 2
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before


def test_without_a_timed_row_results_json_is_there_and_has_none(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "out"
    assert run(monkeypatch, FakePytest(0, runs.NOT_USABLE, benchmarks=False), output)[0] == 3
    results = json.loads((output / "results.json").read_text())
    assert results["benchmarks"] == []
    assert results["amx_suite"]["amx_reason"] == runs.NO_AMX


def test_pytest_gets_the_conformance_folders_and_every_setting(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMX_SUITE_SEED", "5")
    monkeypatch.setenv("AMX_SUITE_OUTPUT", str(tmp_path / "elsewhere"))
    fake = run(
        monkeypatch, FakePytest(0, runs.QUALIFIED), tmp_path / "out", "--level", "3", "--strict"
    )[1]
    folders = [a for a in fake.arguments if not a.startswith("-")]
    assert folders == [str(checkout / "tests" / n) for n in ("detection", "performance")]
    assert {"--amx-level=3", "--amx-seed=5", "--amx-strict"} <= set(fake.arguments)
    assert fake.value("--amx-output") == ""
    assert fake.value("--rootdir") == str(checkout)


def test_what_the_shell_asks_of_pytest_does_not_narrow_a_qualification(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", "-k nothing")
    fake = run(monkeypatch, FakePytest(0, runs.QUALIFIED), tmp_path / "out")[1]
    assert "PYTEST_ADDOPTS" not in fake.environ
    assert os.environ["PYTEST_ADDOPTS"] == "-k nothing"


def test_a_folder_that_cannot_be_written_is_found_before_anything_runs(
    checkout: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place = tmp_path / "out"
    place.write_text("in the way")
    code, fake = run(monkeypatch, FakePytest(0, runs.QUALIFIED), place)
    assert (code, fake.arguments) == (2, [])
    assert f"cannot write in {place}" in capsys.readouterr().err


def test_an_install_without_the_tests_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(qualify, "_checkout", lambda: tmp_path)
    code, fake = run(monkeypatch, FakePytest(0, runs.QUALIFIED), tmp_path / "out")
    assert (code, fake.arguments) == (2, [])
    assert "make qualify" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_default_folder_is_under_the_working_directory(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pytest, "main", FakePytest(0, runs.QUALIFIED))
    assert cli.main(["qualify"]) == 0
    assert (tmp_path / "amx-results" / "summary.md").is_file()


def test_a_real_run_from_another_folder_writes_the_three_files(
    checkout: Path, tmp_path: Path
) -> None:
    (checkout / "pytest.ini").write_text("[pytest]\n")
    (checkout / "tests/detection/test_it.py").write_text(
        "import pytest\n"
        "@pytest.mark.detection\n"
        "def test_wrong(): assert 1 == 2\n"
        "@pytest.mark.detection\n"
        "def test_left_out(): pytest.skip('for a reason')\n"
    )
    code = (
        "import sys, pathlib; from amx_suite import cli, qualify\n"
        f"qualify._checkout = lambda: pathlib.Path({str(checkout)!r})\n"
        "sys.exit(cli.main(sys.argv[1:]))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code, "qualify", "--level", "1"],
        cwd=tmp_path,
        env={**os.environ, "PYTEST_ADDOPTS": "-k left_out"},
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 1, ended.stdout + ended.stderr
    output = tmp_path / "amx-results"
    assert sorted(entry.name for entry in output.iterdir()) == sorted(qualify.RESULT_FILES)
    suite = ET.parse(output / "junit.xml").getroot().find("testsuite")
    assert suite is not None
    assert (suite.get("failures"), suite.get("skipped")) == ("1", "1")
    assert json.loads((output / "results.json").read_text())["benchmarks"] == []
    page = (output / "summary.md").read_text()
    assert "test_it.py::test_wrong" in page
    assert "for a reason (1):" in page
