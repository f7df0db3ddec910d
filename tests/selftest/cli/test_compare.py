"""``amx-suite compare``: exit codes, table, page and JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import stored_runs

from amx_suite import cli

pytestmark = pytest.mark.selftest

#: Rounds a little apart; each run has them in another order.
WOBBLE = [0.01 * math.sin(n) for n in range(12)]
SAME = [stored_runs.LEVEL + wobble for wobble in reversed(WOBBLE)]


LOGS = {
    "base": [stored_runs.LEVEL + wobble for wobble in WOBBLE],
    "same": SAME,
    "slower": [log - 0.1 for log in SAME],
    "few": SAME[:3],
}

#: Runs the command on stored runs, by name, with more arguments.
Compare = Callable[..., int]


@pytest.fixture
def compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Compare:
    monkeypatch.chdir(tmp_path)
    for name, logs in LOGS.items():
        stored_runs.write(tmp_path / f"{name}.json", stored_runs.summary(logs))

    def run(names: str, *more: str) -> int:
        return cli.main(["compare", *(f"{name}.json" for name in names.split()), *more])

    return run


@pytest.mark.parametrize(
    ("names", "more", "code"),
    [
        ("base same", [], 0),
        ("base slower", [], 1),
        ("slower base", [], 0),
        ("base few", [], 4),
        ("base slower", ["--margin", "20"], 0),
        ("base", [], 2),
        ("base same slower", [], 1),
        ("slower base base", [], 2),
    ],
)
def test_exit_codes(compare: Compare, names: str, more: list[str], code: int) -> None:
    """The last run is the new one."""
    assert compare(names, *more) == code


def test_table_page_and_json_agree(compare: Compare, capsys: pytest.CaptureFixture[str]) -> None:
    written, page = Path("new/change.json"), Path("new/change.md")
    assert compare("base slower", "--json", str(written), "--markdown", str(page)) == 1
    found = json.loads(written.read_text())
    (gate,) = found["gates"]
    assert gate["change"] == "worse"
    assert gate["ratio"] == pytest.approx(math.exp(-0.1), rel=1e-3)
    assert gate["low"] < gate["ratio"] < gate["high"]
    assert found["schema_version"] == 2
    for text in (capsys.readouterr().out, page.read_text()):
        assert "WORSE: 1 worse" in text
        assert f"{gate['ratio'] - 1:+.1%}" in text


@pytest.mark.parametrize("margin", ["0", "100", "five"])
def test_margin_is_a_percentage(
    compare: Compare, margin: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare("base same", f"--margin={margin}") == 2
    assert f"--margin: got '{margin}', expected a percentage" in capsys.readouterr().err


def test_incomparable_runs_are_a_usage_error(
    compare: Compare, capsys: pytest.CaptureFixture[str]
) -> None:
    stored_runs.write(Path("other.json"), stored_runs.summary(SAME, versions={"torch": "9"}))
    Path("plain.json").write_text('{"benchmarks": []}')
    for new in ("absent", "plain", "base", "other"):
        assert compare(f"base {new}") == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert compare("base other", "--across", "software") == 0
    assert "torch was '2.8.0', is '9'" in capsys.readouterr().out


@pytest.mark.parametrize("stream", ["-", "/dev/fd/1"])
def test_printed_json_is_nothing_but_json(
    compare: Compare, capfd: pytest.CaptureFixture[str], stream: str
) -> None:
    assert compare("base slower", "--json", stream, "--markdown", "change.md") == 1
    assert json.loads(capfd.readouterr().out)["gates"]
    assert "WORSE: 1 worse" in Path("change.md").read_text()


@pytest.mark.parametrize(
    ("option", "path", "fault"),
    [
        ("--json", "base.json", "is also read"),
        ("--markdown", "same.json", "is also read"),
        ("--json", "link.json", "is a symbolic link"),
        ("--json", ".", "is a folder"),
    ],
)
def test_output_that_must_stay_is_refused(
    compare: Compare, capsys: pytest.CaptureFixture[str], option: str, path: str, fault: str
) -> None:
    Path("link.json").symlink_to("slower.json")
    before = {path.name: path.read_bytes() for path in Path().iterdir()}
    assert compare("base same", option, path) == 2
    said = capsys.readouterr()
    assert (said.out, said.err.count("\n")) == ("", 1)
    assert fault in said.err
    assert {path.name: path.read_bytes() for path in Path().iterdir()} == before


def test_output_in_the_way_writes_nothing(
    compare: Compare, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare("base same", "--json", "base.json/x.json") == 2
    assert "cannot write in" in capsys.readouterr().err
    assert {path.stem for path in Path().iterdir()} == set(LOGS)
