"""Files of schema version 4 are read, and the slices that counted there still count."""

import json
from pathlib import Path

import msgspec
import pytest
import sample_runs as runs
import stored_runs

from amx_suite.core.measurement import Round, Slice
from amx_suite.core.quiet import Reading, Reference
from amx_suite.core.run import SCHEMA_VERSION
from amx_suite.core.units import Unit
from amx_suite.errors import ResultsFileError
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
    stored = runs.measured(
        runs.trial_result(), rounds=(Round(0, slices, launch=3),), reference=reference
    )
    (trial,) = from_previous(runs.summary(trials=(stored,))).trials
    return trial.measurement.rounds[0]


def test_recorded_run_is_read():
    run = load_run(RECORDED)
    assert run.summary.schema_version == SCHEMA_VERSION
    (trial,) = run.summary.trials
    quiet = [len(round_.slices) for round_ in trial.measurement.rounds]
    assert quiet == [2, 3, 0, 3, 3, 0, 3, 3, 0, 3, 0, 1, 3, 2]
    assert {row.name: row.speedup.pairs for row in run.rows} == {
        "gemm-inference-bf16-amx-eager-vs-fp32": 8,
        "gemm-inference-bf16-amx-eager-vs-no-amx": 8,
    }


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


def test_previous_run_without_trials_is_read(tmp_path):
    assert load_run(changed(tmp_path, lambda section: section.update(trials=[]))).rows == ()


@pytest.mark.parametrize("rounds", ["text", [{"index": 0}], [{"index": 0, "slices": [1]}]])
def test_damage_is_named(tmp_path, rounds):
    def damage(section):
        section["trials"][0]["measurement"]["rounds"] = rounds

    with pytest.raises(ResultsFileError, match=r"old.json is damaged: .*rounds"):
        load_run(changed(tmp_path, damage))
