"""Files of schema version 4 are read, and the slices that counted there still count."""

import json
from pathlib import Path

import msgspec
import pytest
import stored_runs

from amx_suite.core.measurement import Round, Slice
from amx_suite.core.quiet import Reading, Reference
from amx_suite.core.run import SCHEMA_VERSION
from amx_suite.core.trial import TrialResult
from amx_suite.core.units import Unit
from amx_suite.errors import ResultsFileError
from amx_suite.history.change import Change
from amx_suite.history.compare import compare
from amx_suite.history.previous import from_previous
from amx_suite.history.store import load_run

pytestmark = pytest.mark.selftest

RECORDED = Path(__file__).parent / "recorded" / "schema-4.json"


def reading(**rates):
    return Reading({Unit(name): rate for name, rate in rates.items()})


def piece(before=None, after=None):
    return Slice("a", 1.0, 2, before, after)


def converted(*slices, reference=None):
    """The only round of a trial with these slices."""
    run = stored_runs.summary([])
    measurement = msgspec.structs.replace(
        run.trials[0].measurement, rounds=(Round(0, slices, launch=3),), reference=reference
    )
    (trial,) = from_previous(
        msgspec.structs.replace(run, trials=(TrialResult(measurement, ()),))
    ).trials
    return trial.measurement.rounds[0]


def test_recorded_run_is_read():
    run = load_run(RECORDED)
    assert run.summary.schema_version == SCHEMA_VERSION
    (trial,) = run.summary.trials
    quiet = [len(round_.slices) for round_ in trial.measurement.rounds]
    assert quiet == [2, 3, 0, 3, 3, 0, 3, 3, 0, 3, 0, 1, 3, 2]
    assert {name: row.speedup.pairs for name, row in run.rows.items()} == {
        "gemm-inference-bf16-amx-eager-vs-fp32": 8,
        "gemm-inference-bf16-amx-eager-vs-no-amx": 8,
    }
    assert len(run.unmeasured) == 2


def test_stored_reference_decides_what_is_quiet():
    quiet = piece(reading(tile=80.0, fma=100.0), reading(tile=99.0, fma=81.0))
    before = piece(reading(tile=79.9, fma=100.0), reading(tile=99.0, fma=81.0))
    after = piece(reading(tile=99.0, fma=81.0), reading(tile=99.0, fma=79.0))
    unread = piece(reading(tile=99.0))
    reference = Reference(reading(tile=100.0, fma=100.0).rates)
    round_ = converted(quiet, before, after, unread, reference=reference)
    assert (len(round_.slices), len(round_.disturbed)) == (1, 3)


def test_without_reference_best_reading_decides():
    quiet, busy = reading(tile=100.0), reading(tile=60.0)
    round_ = converted(piece(quiet, quiet), piece(quiet, busy), piece(busy, busy))
    assert (len(round_.slices), len(round_.disturbed)) == (1, 2)
    odd = piece(quiet, reading(tile=900.0))
    assert len(converted(*[piece(quiet, quiet)] * 99, odd).slices) == 100


def test_every_round_is_of_first_launch():
    """Without readings; theirs were per second."""
    assert converted(piece(), piece(reading(tile=1.0))) == Round(0, (piece(), piece()))


def as_version_4(run):
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
    old.write_text(
        json.dumps(as_version_4(stored_runs.summary([stored_runs.LEVEL + w for w in wobble])))
    )
    new = stored_runs.write(
        tmp_path / "new.json", stored_runs.summary([stored_runs.LEVEL - 0.1 - w for w in wobble])
    )
    found = compare([load_run(old)], load_run(new), margin=0.05)
    assert [gate.change for gate in found.gates] == [Change.WORSE]


def test_previous_run_without_trials_is_read(tmp_path):
    content = as_version_4(msgspec.structs.replace(stored_runs.summary([]), trials=()))
    path = tmp_path / "level-1.json"
    path.write_text(json.dumps(content))
    assert load_run(path).rows == {}


@pytest.mark.parametrize("rounds", ["text", [{"index": 0}], [{"index": 0, "slices": [1]}]])
def test_damage_is_named(tmp_path, rounds):
    content = as_version_4(stored_runs.summary([stored_runs.LEVEL] * 12))
    content["amx_suite"]["trials"][0]["measurement"]["rounds"] = rounds
    path = tmp_path / "old.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ResultsFileError, match=r"old.json is damaged: .*rounds"):
        load_run(path)
