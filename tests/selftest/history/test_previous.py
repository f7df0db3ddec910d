"""Files of schema version 5 are read."""

import contextlib
import json
from pathlib import Path

import msgspec
import pytest
import stored_runs

from amx_suite.core.run import SCHEMA_VERSION
from amx_suite.errors import ResultsFileError
from amx_suite.history.compare import compare
from amx_suite.history.store import load_run

pytestmark = pytest.mark.selftest

RECORDED = Path(__file__).parent / "recorded" / "schema-5.json"


def test_recorded_run_is_read():
    run = load_run(RECORDED)
    assert run.summary.schema_version == SCHEMA_VERSION
    assert {row.name: row.speedup.pairs for row in run.rows} == {
        "gemm-inference-bf16-amx-eager-vs-fp32": 8,
        "gemm-inference-bf16-amx-eager-vs-no-amx": 8,
    }
    (trial,) = run.summary.trials
    assert {facts.case.cores for facts in trial.measurement.arms} == {2}
    ids = {facts.case.id for facts in trial.measurement.arms}
    assert {piece.arm_id for round_ in trial.measurement.rounds for piece in round_.slices} == ids
    assert {row.result.candidate_id for row in run.rows} <= ids


def changed(tmp_path, change):
    """The recorded run with a change in its section."""
    content = json.loads(RECORDED.read_text())
    change(content["amx_suite"])
    path = tmp_path / "old.json"
    path.write_text(json.dumps(content))
    return path


def test_previous_run_may_be_a_base(tmp_path):
    def twice_as_long(section):
        section["trials"][0]["measurement"]["rounds"] *= 2

    old = load_run(changed(tmp_path, twice_as_long))
    later = msgspec.structs.replace(old.summary, started="2026-11-28T00:00:00+00:00")
    found = compare([old], load_run(stored_runs.write(tmp_path / "new.json", later)), margin=0.05)
    assert [gate.ratio for gate in found.gates] == [pytest.approx(1.0)] * 2
    assert not found.notes


@pytest.mark.parametrize("depth", [*range(50, 1000, 50), 5000])
def test_deep_nesting_is_no_traceback(tmp_path, depth):
    """How deep it may be depends on the version of Python."""
    path = changed(tmp_path, lambda section: section.update(old=0))
    path.write_text(path.read_text().replace('"old": 0', '"old": ' + "[" * depth + "]" * depth))
    with contextlib.suppress(ResultsFileError):
        load_run(path)


@pytest.mark.parametrize("rounds", ["text", [{"index": 0}], [{"index": 0, "slices": [1]}]])
def test_damage_is_named(tmp_path, rounds):
    def damage(section):
        section["trials"][0]["measurement"]["rounds"] = rounds

    with pytest.raises(ResultsFileError, match=r"old.json is damaged: .*rounds"):
        load_run(changed(tmp_path, damage))
