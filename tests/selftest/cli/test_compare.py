"""``amx-suite compare``: exit codes, table, page and JSON."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import stored_runs

from amx_suite import cli

pytestmark = pytest.mark.selftest

#: Rounds a little apart; each run has them in another order.
WOBBLE = [0.01 * math.sin(n) for n in range(12)]
SAME = [stored_runs.LEVEL + wobble for wobble in reversed(WOBBLE)]


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return stored_runs.write(
        tmp_path / "base.json",
        stored_runs.summary([stored_runs.LEVEL + wobble for wobble in WOBBLE]),
    )


@pytest.fixture
def same(tmp_path: Path) -> Path:
    return stored_runs.write(tmp_path / "same.json", stored_runs.summary(SAME))


@pytest.fixture
def slower(tmp_path: Path) -> Path:
    return stored_runs.write(
        tmp_path / "slower.json", stored_runs.summary([log - 0.1 for log in SAME])
    )


def test_exit_codes(base: Path, same: Path, slower: Path, tmp_path: Path) -> None:
    few = stored_runs.write(tmp_path / "few.json", stored_runs.summary(SAME[:3]))
    assert cli.main(["compare", str(base), str(same)]) == 0
    assert cli.main(["compare", str(base), str(slower)]) == 1
    assert cli.main(["compare", str(slower), str(base)]) == 0
    assert cli.main(["compare", str(base), str(few)]) == 4
    assert cli.main(["compare", str(base), str(slower), "--margin", "20"]) == 0
    assert cli.main(["compare", str(base)]) == 2


def test_last_run_is_the_new_one(base: Path, same: Path, slower: Path) -> None:
    assert cli.main(["compare", str(base), str(same), str(slower)]) == 1
    assert cli.main(["compare", str(slower), str(base), str(base)]) == 2


def test_table_page_and_json_agree(
    base: Path, slower: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    written, page = tmp_path / "new" / "change.json", tmp_path / "new" / "change.md"
    code = cli.main(
        ["compare", str(base), str(slower), "--json", str(written), "--markdown", str(page)]
    )
    found = json.loads(written.read_text())
    (gate,) = found["gates"]
    assert code == 1
    assert gate["change"] == "worse"
    assert gate["ratio"] == pytest.approx(math.exp(-0.1), rel=1e-3)
    assert gate["low"] < gate["ratio"] < gate["high"]
    assert found["schema_version"] == 2
    for text in (capsys.readouterr().out, page.read_text()):
        assert "WORSE: 1 worse" in text
        assert f"{gate['ratio'] - 1:+.1%}" in text


@pytest.mark.parametrize("margin", ["0", "100", "five"])
def test_margin_is_a_percentage(
    base: Path, same: Path, margin: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["compare", str(base), str(same), f"--margin={margin}"]) == 2
    assert f"--margin: got '{margin}', expected a percentage" in capsys.readouterr().err


def test_incomparable_runs_are_a_usage_error(
    base: Path, same: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = stored_runs.write(
        tmp_path / "other.json", stored_runs.summary(SAME, versions={"torch": "9"})
    )
    plain = tmp_path / "plain.json"
    plain.write_text('{"benchmarks": []}')
    for new in (tmp_path / "absent.json", plain, base, other):
        assert cli.main(["compare", str(base), str(new)]) == 2
        assert capsys.readouterr().err.count("\n") == 1
    assert cli.main(["compare", str(base), str(other), "--across", "software"]) == 0
    assert "torch was '2.8.0', is '9'" in capsys.readouterr().out


def test_output_in_the_way_writes_nothing(
    base: Path, same: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["compare", str(base), str(same), "--json", str(base / "x.json")]) == 2
    assert "cannot write in" in capsys.readouterr().err
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["base.json", "same.json"]
