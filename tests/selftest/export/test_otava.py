"""The CSV for Otava: one row for each run of one machine, and no gap."""

from __future__ import annotations

import csv
from pathlib import Path

import msgspec
import pytest
import stored_runs

from amx_suite.core.health import Identity
from amx_suite.errors import ResultsFileError
from amx_suite.export.otava import otava_series
from amx_suite.history.store import StoredRun, load_run

pytestmark = pytest.mark.selftest

LEVEL = stored_runs.LEVEL
GATE = "resnet50-inference-bf16-amx-ipex-b16x224-c2-s0-vs-fp32"


def night(
    folder: Path, day: int, *, log: float = LEVEL, rounds: int = 12, host: str | None = "one"
) -> StoredRun:
    """A run of a day, each of whose rounds has the log speedup."""
    run = stored_runs.summary([log] * rounds, started=f"2026-01-{day:02}T03:00:00+01:00")
    run = msgspec.structs.replace(run, identity=Identity(host_name=host))
    return load_run(stored_runs.write(folder / f"{host}-{day}.json", run))


def table(*runs: StoredRun) -> list[dict[str, str]]:
    return list(csv.DictReader(otava_series(runs).csv().splitlines()))


def test_one_row_for_each_run_by_time(tmp_path: Path) -> None:
    found = table(night(tmp_path, 2, log=LEVEL - 0.1), night(tmp_path, 1))
    assert [row["time"] for row in found] == [
        "2026-01-01T02:00:00+00:00",
        "2026-01-02T02:00:00+00:00",
    ]
    assert [row[GATE] for row in found] == ["4", "3.61935"]
    assert {row["measured"] for row in found} == {"1 of 1"}
    assert list(found[0]) == ["time", "machine", "torch", "measured", GATE]


def test_noisy_night_is_left_out_and_named(tmp_path: Path) -> None:
    noisy = night(tmp_path, 2, log=LEVEL - 0.1, rounds=9)
    series = otava_series((night(tmp_path, 1), noisy))
    assert len(series.csv().splitlines()) == 2
    assert series.notes == (f"1 of 2 runs left out, with 10 quiet rounds at no gate: {noisy.path}",)


def with_other_gate(run: StoredRun, *, first: bool = True) -> StoredRun:
    """The run with its gate for another engine too, or for that alone."""
    cases = (msgspec.structs.replace(row.case, engine="eager") for row in run.rows)
    other = [
        msgspec.structs.replace(row, case=case) for row, case in zip(run.rows, cases, strict=True)
    ]
    return msgspec.structs.replace(run, rows=(*(run.rows if first else ()), *other))


def test_gap_repeats_the_figure_before(tmp_path: Path) -> None:
    """Of two gates one misses the first of five nights, the other the fourth."""
    nights = [night(tmp_path, day, log=LEVEL + day / 100) for day in range(1, 6)]
    series = otava_series(
        [nights[0], *(with_other_gate(each, first=each is not nights[3]) for each in nights[1:])]
    )
    rows = [line.split(",")[3:] for line in series.csv().splitlines()[1:]]
    assert rows == [
        ["1 of 2", "4.0402", "4.08081"],
        ["2 of 2", "4.08081", "4.08081"],
        ["2 of 2", "4.12182", "4.12182"],
        ["1 of 2", "4.12182", "4.16324"],
        ["2 of 2", "4.20508", "4.20508"],
    ]
    assert series.notes == (
        "2 figures have fewer than 10 quiet rounds; the figure before stands in their place",
    )


def test_gate_with_many_gaps_is_left_out(tmp_path: Path) -> None:
    """Repeated figures would look like a step."""
    nights = [night(tmp_path, day) for day in range(1, 7)]
    alone = with_other_gate(nights[4], first=False)
    series = otava_series([*nights[:4], alone, with_other_gate(nights[5])])
    assert series.gates == (GATE,)
    assert series.notes == (
        f"1 of 6 runs left out, with 10 quiet rounds at no gate: {alone.path}",
        "gates left out, as fewer than 80% of the runs have 10 quiet rounds there: "
        + GATE.replace("ipex", "eager"),
    )
    assert {row["measured"] for row in csv.DictReader(series.csv().splitlines())} == {"1 of 1"}


def test_two_machines_are_refused(tmp_path: Path) -> None:
    runs = night(tmp_path, 1), night(tmp_path, 2, host="two")
    with pytest.raises(ResultsFileError, match=r"is of one and .* of two: name the runs of one"):
        otava_series(runs)


def test_nameless_machines_are_told_by_their_id(tmp_path: Path) -> None:
    one, other = (night(tmp_path, day, host=None) for day in (1, 2))
    assert len({row["machine"] for row in table(one, other)}) == 1
    changed = msgspec.structs.replace(other.summary, machine={"cpu_brand": "another"})
    with pytest.raises(ResultsFileError, match="name the runs of one machine"):
        otava_series((one, msgspec.structs.replace(other, summary=changed)))


def test_same_run_twice_is_refused(tmp_path: Path) -> None:
    run = night(tmp_path, 1)
    with pytest.raises(ResultsFileError, match="hold the same run"):
        otava_series((run, run))


def test_time_that_is_none_is_refused(tmp_path: Path) -> None:
    run = night(tmp_path, 1)
    bad = msgspec.structs.replace(
        run, summary=msgspec.structs.replace(run.summary, started="yesterday")
    )
    with pytest.raises(ResultsFileError, match="'yesterday' is no time in ISO 8601"):
        otava_series((bad,))
