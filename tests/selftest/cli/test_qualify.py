"""``amx-suite qualify``: its exit code, its files, and what it asks of pytest."""

from __future__ import annotations

import json
import os
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sample_runs as runs
import stored_runs
from processes import Forked

from amx_suite import cli
from amx_suite.cli import qualify
from amx_suite.core.run import RunSummary
from amx_suite.errors import OutputError
from amx_suite.files import locked_folder, replace_files
from amx_suite.history.store import load_run
from amx_suite.plugin.options import Settings
from amx_suite.plugin.run import RUN, SETTINGS

pytestmark = pytest.mark.selftest


class FakePytest:
    """Stands in for ``pytest.main``: ends with an exit code and leaves a summary."""

    def __init__(
        self, ended: int = 0, summary: RunSummary | None = None, benchmarks: bool = True
    ) -> None:
        self.ended = ended
        self.summary = summary
        self.benchmarks = benchmarks
        self.arguments: list[str] = []
        self.settings: Settings | None = None

    def __call__(self, arguments: list[str], plugins: list[Any]) -> int:
        self.arguments = arguments
        config = SimpleNamespace(stash=pytest.Stash())
        plugins[0].pytest_configure(config)
        self.settings = config.stash[SETTINGS]
        if self.benchmarks:
            stored_runs.write(Path(self.value("--benchmark-json")), self.summary or runs.QUALIFIED)
        Path(self.value("--junitxml")).write_text("<testsuites/>")
        if self.summary is not None:
            config.stash[RUN] = SimpleNamespace(summary=lambda: self.summary)
        plugins[0].pytest_unconfigure(config)
        return self.ended

    def value(self, option: str) -> str:
        (found,) = (a for a in self.arguments if a.startswith(f"{option}="))
        return found.partition("=")[2]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with two of the five conformance folders."""
    root = tmp_path / "checkout"
    for name in ("detection", "performance", "selftest"):
        (root / "tests" / name).mkdir(parents=True)
    monkeypatch.setattr(qualify, "_tests_root", lambda: root)
    return root


@pytest.fixture
def output(tmp_path: Path) -> Path:
    return tmp_path / "out"


Run = Callable[..., int]


@pytest.fixture
def run(checkout: Path, output: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Qualify the checkout with a pytest that is a fake."""

    def start(fake: FakePytest, *more: str) -> int:
        monkeypatch.setattr(pytest, "main", fake)
        return cli.main(["qualify", "--output", str(output), *more])

    return start


@pytest.mark.parametrize(
    ("summary", "code"),
    [
        (runs.QUALIFIED, 0),
        (runs.NOT_QUALIFIED, 1),
        (runs.NOT_USABLE, 3),
        (runs.INCONCLUSIVE, 4),
    ],
)
def test_exit_code_follows_the_summary(
    run: Run, output: Path, capfd: pytest.CaptureFixture[str], summary: RunSummary, code: int
) -> None:
    ended = 1 if code == 1 else 0
    assert run(FakePytest(ended, summary)) == code
    *_, where, last = capfd.readouterr().out.splitlines()
    assert where == f"amx-suite: results in {output}: {', '.join(qualify.RESULT_FILES)}"
    assert last.startswith(f"amx-suite: {summary.qualification} (exit code {code}): ")
    assert last.endswith(f"; see {output / 'report.html'}")
    assert sorted(entry.name for entry in output.iterdir()) == sorted(qualify.RESULT_FILES)
    assert f"**{summary.qualification}: " in (output / "summary.md").read_text()
    assert load_run(output / "results.json").summary == summary
    page = (output / "report.html").read_text()
    assert f"<strong>{summary.qualification}</strong>" in page
    assert cli.main(["report", str(output / "results.json"), "--output", "-"]) == 0
    assert capfd.readouterr().out == page, "the same as the command makes"


def test_faulty_hardware_fails_where_all_passed(run: Run, output: Path) -> None:
    assert run(FakePytest(0, runs.with_health(runs.QUALIFIED, runs.FAULT))) == 1
    assert str(runs.FAULT) in (output / "summary.md").read_text()


@pytest.mark.parametrize(
    ("ended", "code"),
    [
        (pytest.ExitCode.OK, 0),
        (pytest.ExitCode.TESTS_FAILED, 1),
        (pytest.ExitCode.INTERRUPTED, 4),
        (pytest.ExitCode.INTERNAL_ERROR, 1),
        (pytest.ExitCode.USAGE_ERROR, 2),
        (pytest.ExitCode.NO_TESTS_COLLECTED, 1),
    ],
)
def test_failed_pytest_is_never_0(
    run: Run, capsys: pytest.CaptureFixture[str], ended: int, code: int
) -> None:
    assert run(FakePytest(ended, runs.QUALIFIED)) == code
    assert ("amx-suite: QUALIFIED" in capsys.readouterr().out) is (code == 0)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(("ended", "code"), [(0, 1), (3, 1), (4, 2)])
def test_only_new_results_replace_earlier_ones(
    run: Run, output: Path, ended: int, code: int
) -> None:
    run(FakePytest(0, runs.QUALIFIED))
    (output / "mine.txt").touch()
    before = contents(output)
    assert run(FakePytest(ended)) == code
    assert contents(output) == before
    assert run(FakePytest(0, runs.INCONCLUSIVE)) == 4
    after = contents(output)
    assert before.keys() == after.keys()
    assert [name for name in before if before[name] == after[name]] == ["junit.xml", "mine.txt"]


def no_room(*refused: Path) -> Callable[[Path, dict[str, str]], None]:
    """A ``replace_files`` that cannot write in these folders, nor in any if none is named."""

    def replace(folder: Path, files: dict[str, str]) -> None:
        if not refused or folder in refused:
            raise OutputError(f"cannot write in {folder}: No space left on device")
        replace_files(folder, files)

    return replace


def test_full_folder_costs_neither_results_nor_verdict(
    run: Run,
    output: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(FakePytest(0, runs.QUALIFIED))
    before = contents(output)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(qualify, "replace_files", no_room(output))
    capsys.readouterr()
    assert run(FakePytest(1, runs.NOT_QUALIFIED)) == 1
    said = capsys.readouterr()
    (second,) = tmp_path.glob("amx-results-*")
    assert sorted(contents(second)) == sorted(qualify.RESULT_FILES)
    assert load_run(second / "results.json").summary == runs.NOT_QUALIFIED
    assert contents(output) == before
    told = f"amx-suite: error: cannot write in {output}: No space left on device; what is there is "
    assert said.err == f"{told}not of this run\n"
    assert f"amx-suite: results in {second}: results.json, " in said.out
    assert "NOT QUALIFIED (exit code 1): " in said.out.splitlines()[-1]


def test_results_that_fit_nowhere_are_printed(
    run: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(qualify, "replace_files", no_room())
    assert run(FakePytest(0, runs.QUALIFIED)) == 0
    said = capsys.readouterr()
    assert said.err.count("No space left on device") == 2
    assert "**QUALIFIED: " in said.out
    assert "amx-suite: no results were written: the summary is above\n" in said.out
    assert said.out.splitlines()[-1].endswith("; see the summary above")
    assert not list(tmp_path.glob("amx-results-*"))


@pytest.mark.parametrize("error", [OSError("no cache directory"), MemoryError()])
def test_report_that_fails_costs_only_itself(
    run: Run,
    output: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: Exception,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    run(FakePytest(0, runs.QUALIFIED))
    monkeypatch.setattr("amx_suite.report.html.render_html", refuse)
    assert run(FakePytest(0, runs.QUALIFIED)) == 0
    assert sorted(contents(output)) == ["junit.xml", "results.json", "summary.md"]
    said = capsys.readouterr()
    assert f"error: no report.html: {error!r}; `amx-suite report` makes it" in said.err
    assert said.out.splitlines()[-1].endswith(f"; see {output / 'summary.md'}")


def test_rows_cut_short_are_not_published(run: Run, output: Path) -> None:
    class Cut(FakePytest):
        def __call__(self, arguments: list[str], plugins: list[Any]) -> int:
            ended = super().__call__(arguments, plugins)
            Path(self.value("--benchmark-json")).write_text('{"benchmarks": [')
            return ended

    assert run(Cut(0, runs.QUALIFIED)) == 0
    assert load_run(output / "results.json").summary == runs.QUALIFIED


def test_two_runs_never_mix_their_results(
    run: Run, output: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output.mkdir()
    with locked_folder(output, None):
        fake = FakePytest(0, runs.QUALIFIED)
        assert (run(fake), fake.arguments) == (2, [])
    assert "another run writes its results into" in capsys.readouterr().err
    assert contents(output) == {}


@pytest.mark.parametrize("name", qualify.RESULT_FILES)
def test_link_among_results_is_refused_first(
    run: Run, output: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output.mkdir()
    (output / name).symlink_to(output.parent / "elsewhere")
    fake = FakePytest(0, runs.QUALIFIED)
    assert (run(fake), fake.arguments) == (2, [])
    assert f"{name}' is a symbolic link, which is not replaced" in capsys.readouterr().err


def test_results_json_without_timed_rows(run: Run, output: Path) -> None:
    assert run(FakePytest(0, runs.NOT_USABLE, benchmarks=False)) == 3
    results = json.loads((output / "results.json").read_text())
    assert results["benchmarks"] == []
    assert results["amx_suite"]["amx_reason"] == runs.NO_AMX


def test_pytest_gets_folders_and_settings(
    run: Run, checkout: Path, output: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AMX_SUITE_SEED", "5")
    monkeypatch.setenv("AMX_SUITE_OUTPUT", "elsewhere")
    fake = FakePytest(0, runs.QUALIFIED)
    run(fake, "--level", "3", "--strict")
    folders = [a for a in fake.arguments if not a.startswith("-")]
    assert folders == [str(checkout / "tests" / n) for n in ("detection", "performance")]
    assert fake.settings is not None
    assert (fake.settings.level, fake.settings.seed, fake.settings.strict) == (3, 5, True)
    assert fake.settings.output == output
    assert fake.value("--rootdir") == str(checkout)
    assert "--no-summary" in fake.arguments
    run(fake, "-v")
    assert "--verbose" in fake.arguments
    assert "--no-summary" not in fake.arguments


def test_unwritable_folder_is_found_first(
    run: Run,
    output: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output.write_text("in the way")
    fake = FakePytest(0, runs.QUALIFIED)
    assert (run(fake), fake.arguments) == (2, [])
    assert f"cannot write in {output}" in capsys.readouterr().err


def test_missing_tests_are_a_usage_error(
    run: Run, output: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(qualify, "_tests_root", lambda: output)
    fake = FakePytest(0, runs.QUALIFIED)
    assert (run(fake), fake.arguments) == (2, [])
    assert "make qualify" in capsys.readouterr().err
    assert not output.exists()


def test_real_run_writes_all_files(checkout: Path, tmp_path: Path) -> None:
    """In a fork, which has the checkout."""
    (checkout / "pytest.ini").write_text("[pytest]\n")
    (checkout / "tests/detection/test_it.py").write_text(
        "import pytest\n"
        "@pytest.mark.detection\n"
        "def test_wrong(): assert 1 == 2\n"
        "@pytest.mark.detection\n"
        "def test_left_out(): pytest.skip('for a reason')\n"
        "@pytest.mark.detection\n"
        "def test_wrong_too(): assert 1 == 2\n"
    )
    own = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    ended = Forked(
        lambda: cli.main(["qualify", "--level", "1"]),
        tmp_path,
        {**own, "PYTEST_ADDOPTS": "-k left_out"},
    ).wait()
    assert ended.returncode == 1, ended.stdout
    failed = "FAILED tests/detection/test_it.py::test_wrong\n  assert 1 == 2\n"
    assert failed in ended.stdout
    assert ended.stdout.count("  assert 1 == 2\n") == 1, "a message is printed once"
    assert "detection: 2 failed, 1 skipped, " in ended.stdout
    assert "  1 skipped: for a reason\n" in ended.stdout
    assert "amx-suite: NOT QUALIFIED (exit code 1): " in ended.stdout.splitlines()[-1]
    output = tmp_path / "amx-results"
    assert sorted(entry.name for entry in output.iterdir()) == sorted(qualify.RESULT_FILES)
    suite = ET.parse(output / "junit.xml").getroot().find("testsuite")
    assert suite is not None
    assert (suite.get("failures"), suite.get("skipped")) == ("2", "1")
    properties = {each.get("name"): each.get("value") for each in suite.iterfind("properties/*")}
    assert properties["amx_qualification"] == "NOT QUALIFIED"
    assert properties["amx_exit_code"] == "1"
    assert properties["amx_machine_kernel"]
    results = json.loads((output / "results.json").read_text())
    assert (results["benchmarks"], results["amx_suite"]["level"]) == ([], 1)
    page = (output / "summary.md").read_text()
    assert "test_it.py::test_wrong" in page
    assert "checks: 2 failed, 1 skipped" in page
