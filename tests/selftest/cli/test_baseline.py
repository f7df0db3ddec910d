"""``amx-suite baseline``: from results files to a table that ``--gates`` takes."""

import math

import pytest
import stored_runs

from amx_suite import cli

pytestmark = pytest.mark.selftest


@pytest.fixture
def files(tmp_path):
    paths = []
    for number in range(3):
        run = stored_runs.summary([math.log(4.0)] * 12, started=f"2026-11-0{number + 1}T08:00:00")
        paths.append(str(stored_runs.write(tmp_path / f"m{number}.json", run)))
    return paths


def test_written_table_is_a_gate_table(files, tmp_path, capsys):
    table = str(tmp_path / "gates.toml")
    assert cli.main(["baseline", *files, "--output", table]) == 0
    assert f"1 gates from 3 machines in {table}" in capsys.readouterr().out
    assert cli.main(["list", "--gates", table]) == 0
    assert "resnet50-inference-bf16-vs-fp32-b16x224-ipex-c2" in capsys.readouterr().out


@pytest.mark.parametrize("output", [[], ["--output", "-"]])
def test_table_is_printed_by_default_and_for_dash(files, capfd, output):
    assert cli.main(["baseline", *files, *output]) == 0
    assert "minimum = 3.00\n" in capfd.readouterr().out


def test_bad_input_is_a_usage_error(files, capsys):
    assert cli.main(["baseline", *files[:2]]) == 2
    assert cli.main(["baseline", *files, "nowhere.json"]) == 2
    assert "nowhere.json cannot be read" in capsys.readouterr().err
    assert cli.main(["baseline", *files, "--output", files[2]]) == 2
    assert "m2.json' is also read; name another file" in capsys.readouterr().err
