"""Files of schema version 4 are read, and what counted there counts."""

import json
from pathlib import Path

import msgspec
import nights
import pytest

from amx_suite.core.run import SCHEMA_VERSION, RunSummary
from amx_suite.errors import ResultsFileError
from amx_suite.history import compare, load_night
from amx_suite.history.change import Change
from amx_suite.history.previous import from_previous

pytestmark = pytest.mark.selftest

RECORDED = Path(__file__).parent / "recorded" / "schema-4.json"


def reading(**rates):
    return {"rates": rates}


def piece(before=None, after=None, arm_id="a"):
    return {"arm_id": arm_id, "seconds": 1.0, "iterations": 2, "before": before, "after": after}


def converted(*slices, reference=None, launch=0):
    """The one round of a trial that had these slices."""
    rounds = [{"index": 0, "slices": list(slices), "launch": launch}]
    measurement = {"rounds": rounds, "reference": reference, "schema_version": 4}
    found = from_previous({"trials": [{"measurement": measurement, "gates": []}], "level": 3})
    (round_,) = found["trials"][0]["measurement"]["rounds"]
    return round_


def test_recorded_run_is_read():
    night = load_night(RECORDED)
    assert night.summary.schema_version == SCHEMA_VERSION
    (trial,) = night.summary.trials
    quiet = [len(round_.slices) for round_ in trial.measurement.rounds]
    assert quiet == [2, 3, 0, 3, 3, 0, 3, 3, 0, 3, 0, 1, 3, 2]
    assert {name: row.speedup.pairs for name, row in night.rows.items()} == {
        "gemm-inference-bf16-amx-eager-vs-fp32": 8,
        "gemm-inference-bf16-amx-eager-vs-no-amx": 8,
    }
    assert len(night.unmeasured) == 2


def test_slices_are_parted_by_the_stored_reference():
    quiet = piece(reading(tile=80.0, fma=100.0), reading(tile=99.0, fma=81.0))
    before = piece(reading(tile=79.9, fma=100.0), reading(tile=99.0, fma=81.0))
    after = piece(reading(tile=99.0, fma=81.0), reading(tile=99.0, fma=79.0))
    unread = piece(reading(tile=99.0))
    round_ = converted(
        quiet, before, after, unread, reference={"rates": {"tile": 100.0, "fma": 100.0}}
    )
    assert (len(round_["slices"]), len(round_["disturbed"])) == (1, 3)


def test_without_reference_the_best_seen_is_it():
    quiet, busy = reading(tile=100.0), reading(tile=60.0)
    round_ = converted(piece(quiet, quiet), piece(quiet, busy), piece(busy, busy))
    assert (len(round_["slices"]), len(round_["disturbed"])) == (1, 2)


def test_one_odd_reading_is_not_the_best():
    slices = [piece(reading(tile=100.0), reading(tile=100.0)) for _ in range(99)]
    odd = piece(reading(tile=100.0), reading(tile=900.0))
    assert len(converted(*slices, odd)["slices"]) == 100


def test_without_readings_every_slice_counts():
    assert len(converted(piece(), piece())["slices"]) == 2


def test_rounds_of_every_launch_count():
    assert converted(piece(), launch=3).get("launch", 0) == 0


def test_readings_per_second_do_not_come_along():
    stored = {"rates": {"tile": 1.0}}
    round_ = converted(piece(reading(tile=1.0)), reference=stored)
    assert round_["slices"] == [{"arm_id": "a", "seconds": 1.0, "iterations": 2}]


def as_version_4(run: RunSummary):
    """A made-up run in the layout of version 4."""
    section = msgspec.to_builtins(run)
    del section["schema_version"]
    for trial in section["trials"]:
        measurement = trial["measurement"]
        measurement["schema_version"] = 4
        for round_ in measurement["rounds"]:
            for name in ("disturbed", "seconds", "lost_seconds"):
                del round_[name]
        for gate in trial["gates"]:
            del gate["second"], gate["lack"]
            gate.update(e_pass=9.0, e_fail=0.1, e_fail_session=0.1)
    return {"amx_suite": section}


def test_previous_run_may_be_a_base(tmp_path):
    wobble = [0.005 * (n % 3) for n in range(12)]
    old = tmp_path / "old.json"
    old.write_text(json.dumps(as_version_4(nights.summary([nights.LEVEL + w for w in wobble]))))
    new = nights.write(
        tmp_path / "new.json", nights.summary([nights.LEVEL - 0.1 - w for w in wobble])
    )
    found = compare([load_night(old)], load_night(new), margin=0.05)
    assert [gate.change for gate in found.gates] == [Change.WORSE]


def test_previous_run_without_trials_is_read(tmp_path):
    content = as_version_4(msgspec.structs.replace(nights.summary([]), trials=()))
    path = tmp_path / "level-1.json"
    path.write_text(json.dumps(content))
    assert load_night(path).rows == {}


@pytest.mark.parametrize("rounds", ["text", [{"index": 0}], [{"index": 0, "slices": [1]}]])
def test_damage_is_named(tmp_path, rounds):
    content = as_version_4(nights.summary([nights.LEVEL] * 12))
    content["amx_suite"]["trials"][0]["measurement"]["rounds"] = rounds
    path = tmp_path / "old.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ResultsFileError, match=r"old.json is damaged: .*rounds"):
        load_night(path)
