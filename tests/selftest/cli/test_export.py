"""``amx-suite export``: files, streams, exit codes."""

from __future__ import annotations

from pathlib import Path

import pytest
import stored_runs

from amx_suite import cli

pytestmark = pytest.mark.selftest

each_format = pytest.mark.parametrize("form", ["otava", "prometheus"])


@pytest.fixture
def results(tmp_path: Path) -> Path:
    run = stored_runs.summary([stored_runs.LEVEL] * 12)
    return stored_runs.write(tmp_path / "results.json", run)


@each_format
def test_output_names_the_file_or_prints(
    results: Path, capfd: pytest.CaptureFixture[str], form: str
) -> None:
    output = results.parent / "new" / "exported"
    arguments = ["export", str(results), "--format", form]
    assert cli.main([*arguments, "--output", str(output)]) == 0
    assert f"{form} of 1 runs in {output}" in capfd.readouterr().out
    assert cli.main(arguments) == 0
    assert capfd.readouterr().out == output.read_text()


@each_format
def test_cut_results_leave_the_old_file(
    results: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    """A reader may come at any time."""
    cut, output = results.with_name("cut.json"), results.with_name("exported")
    cut.write_bytes(results.read_bytes()[:-100])
    output.write_text("old")
    arguments = [str(results), str(cut), "--format", form, "--output", str(output)]
    assert cli.main(["export", *arguments]) == 2
    assert f"error: {cut} is not JSON" in capsys.readouterr().err
    assert output.read_text() == "old"
    assert sorted(path.name for path in results.parent.iterdir()) == [
        "cut.json",
        "exported",
        "results.json",
    ]


def test_nothing_measured_is_undecided(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stored_runs.write(results, stored_runs.summary([stored_runs.LEVEL] * 3))
    output = tmp_path / "exported"
    arguments = [str(results), "--format", "otava", "--output", str(output)]
    assert cli.main(["export", *arguments]) == 4
    assert "nothing to export: no gate has a series" in capsys.readouterr().err
    assert not output.exists()


@pytest.mark.parametrize("more", [[], ["--format", "xml"], ["--format", "otava", "--output"]])
def test_wrong_arguments_are_usage_errors(results: Path, more: list[str]) -> None:
    assert cli.main(["export", str(results), *more]) == 2


@each_format
def test_output_may_not_be_an_input(results: Path, form: str) -> None:
    before = results.read_bytes()
    arguments = [str(results), "--format", form, "--output", str(results)]
    assert cli.main(["export", *arguments]) == 2
    assert results.read_bytes() == before
