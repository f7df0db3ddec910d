"""The comparison with the oracle on runs that are right, and wrong in a known way."""

from __future__ import annotations

import os
import platform

import msgspec
import numpy as np
import pytest

from amx_suite.errors import NotApplicableError, UsageError
from amx_suite.tmul import exactness
from amx_suite.tmul.batch import BatchResult, TileBatch, TileWorker
from amx_suite.tmul.exactness import BatchCheck, expected, operands

pytestmark = pytest.mark.selftest

BATCH = TileBatch("tdpbf16ps", "ordinary", 7, tiles=5, rows=9, k_bytes=24, n_bytes=40, steps=3)
FLIPPED = 1 << 13


def right(batch, steps):
    return expected(batch, steps).copy(), 0


def flips_one_bit(batch, steps):
    """In the last tile but two, once."""
    found, stray = right(batch, steps)
    found[(2 if len(found) > 2 else 0), 4, 6] ^= FLIPPED
    return found, stray


def strays(batch, steps):
    return right(batch, steps)[0], 3


@pytest.fixture
def ran(monkeypatch):
    """Runs a batch as the given functions say, the last of them for ever; a run takes 2 s."""

    def run(*results, batch=BATCH, stored=None, seconds=0.0):
        class Run:
            now, runs = 0.0, 0

            def __init__(self, batch, steps):
                self.work = (batch, steps)

            def __call__(self):
                Run.now += 2.0
                Run.runs += 1

            def result(self):
                return results[min(Run.runs, len(results)) - 1](*self.work)

        monkeypatch.setattr(exactness, "TileRun", Run)
        return BatchCheck(batch, stored, clock=lambda: Run.now).run_for(seconds)

    return run


def test_right_results_are_exact(ran):
    result = ran(right).result
    assert (result.elements, result.wrong, result.first) == (5 * 9 * 10, 0, None)
    assert result.is_exact


def test_flipped_bit_is_found_where_it_is(ran):
    result = ran(flips_one_bit).result
    first = result.first
    assert not result.is_exact
    assert (result.wrong, first.tile, first.row, first.column) == (1, 2, 4, 6)
    assert first.found ^ first.expected == FLIPPED
    assert "1 of 450 elements differ" in str(result)
    where = f"C[4][6] of tile 2 is {first.found:#010x}, expected {first.expected:#010x}"
    assert where in str(result)


def test_store_beyond_its_rows_is_found(ran):
    result = ran(strays).result
    assert not result.is_exact
    assert "3 bytes beyond the rows were overwritten" in str(result)


def test_chain_without_its_last_step_is_found(ran):
    result = ran(lambda batch, steps: right(batch, steps[:-1])).result
    assert result.wrong > 0.9 * result.elements


def test_stored_mismatch_runs_again(ran):
    """Even if the fills have changed since."""
    stored = msgspec.json.encode(ran(flips_one_bit).result)
    result = msgspec.json.decode(stored, type=BatchResult)
    batch, first = msgspec.structs.replace(BATCH, tiles=1), result.first
    for ours, theirs in zip(operands(batch, first), operands(BATCH), strict=True):
        assert np.array_equal(ours.a[0], theirs.a[2])
        assert np.array_equal(ours.b[0], theirs.b[2])
    assert np.array_equal(operands(batch, first)[0].c[0], operands(BATCH)[0].c[2])
    assert ran(right, batch=batch, stored=first).result.is_exact
    again = ran(flips_one_bit, batch=batch, stored=first).result.first
    assert (again.found, again.expected) == (first.found, first.expected)


def test_worker_refuses_what_cannot_be_run(ran):
    result = ran(flips_one_bit).result
    narrow = msgspec.structs.replace(BATCH, k_bytes=20)
    with TileWorker(min(os.sched_getaffinity(0)), "fake_tiles:Emulated") as worker:
        assert worker.rerun_tile(result).is_exact
        for batch, why in ((narrow, "reshape"), (BATCH, "no mismatch")):
            first = result.first if batch is narrow else None
            with pytest.raises(UsageError, match=why):
                worker.rerun_tile(msgspec.structs.replace(result, batch=batch, first=first))
        for change, why in (({"instruction": "tdpnone"}, "tdpnone"), ({"fill": "wrap"}, "no fill")):
            with pytest.raises(UsageError, match=why):
                worker.check_tiles(msgspec.structs.replace(BATCH, **change))


@pytest.mark.skipif(platform.machine() != "x86_64", reason="asks an x86-64 kernel")
def test_refused_permission_is_not_applicable():
    with (
        TileWorker(min(os.sched_getaffinity(0)), "fake_tiles:JailedBench") as worker,
        pytest.raises(NotApplicableError, match="refused the tile permission: EPERM"),
    ):
        worker.check_tiles(BATCH)


def test_registers_wrap_after_seven():
    assert TileBatch("tdpbssd", "wrap", 0, tiles=1, first_register=6).registers == (6, 7, 0)


def test_soak_runs_until_the_time_is_over(ran):
    found = ran(right, seconds=11)
    assert (found.runs, found.busy_seconds, found.result.is_exact) == (6, 12.0, True)
    assert found.tiles_per_second == 5 * 3 / 2


@pytest.mark.parametrize(
    ("results", "runs"),
    [
        pytest.param((right, right, right, flips_one_bit, right), 4, id="later"),
        pytest.param((flips_one_bit,), 1, id="at-once"),
        pytest.param((right, strays), 2, id="stray"),
    ],
)
def test_soak_stops_at_the_first_wrong_result(ran, results, runs):
    found = ran(*results, seconds=100)
    assert found.runs == runs
    assert not found.result.is_exact
