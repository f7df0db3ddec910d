"""The comparison with the oracle on executions that are right, and wrong in a known way."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from amx_suite.tmul.batch import BatchResult, Load, TileBatch
from amx_suite.tmul.conformance import check_batch, expected, operands, rerun
from amx_suite.tmul.execute import execute
from amx_suite.tmul.soak import Soak

pytestmark = pytest.mark.selftest

BATCH = TileBatch("tdpbf16ps", "ordinary", 7, tiles=5, rows=9, k_bytes=24, n_bytes=40, steps=3)
FLIPPED = 1 << 13


def right(batch, steps):
    return expected(batch, steps).copy(), 0


def flips_one_bit(batch, steps):
    """In the third tile, once."""
    found, stray = right(batch, steps)
    found[2, 4, 6] ^= FLIPPED
    return found, stray


def test_right_results_are_exact():
    result = check_batch(BATCH, right)
    assert (result.elements, result.wrong, result.first) == (5 * 9 * 10, 0, None)
    assert result.is_exact


def test_a_flipped_bit_is_found_where_it_is():
    result = check_batch(BATCH, flips_one_bit)
    assert not result.is_exact
    first = result.first
    assert (result.wrong, first.tile, first.row, first.column) == (1, 2, 4, 6)
    assert first.found ^ first.expected == FLIPPED
    assert "1 of 450 elements differ" in str(result)
    assert f"C[4][6] of tile 2 is {first.found:#010x}, expected {first.expected:#010x}" in str(
        result
    )


def test_a_store_beyond_its_rows_is_found():
    result = check_batch(BATCH, lambda batch, steps: (right(batch, steps)[0], 3))
    assert not result.is_exact
    assert "3 bytes beyond the rows were overwritten" in str(result)


def test_a_chain_that_forgets_its_steps_is_found():
    result = check_batch(BATCH, lambda batch, steps: right(batch, steps[:-1]))
    assert result.wrong > 0.9 * result.elements


def test_a_mismatch_holds_all_it_takes_to_run_it_again():
    """Even where the generator of operands has changed since."""
    stored = msgspec.json.encode(check_batch(BATCH, flips_one_bit))
    result = msgspec.json.decode(stored, type=BatchResult)
    seen = {}

    def recording(batch, steps):
        seen.update(batch=batch, steps=steps)
        return right(batch, steps)

    assert rerun(result, recording).is_exact
    assert seen["batch"] == msgspec.structs.replace(BATCH, tiles=1)
    for ours, theirs in zip(seen["steps"], operands(BATCH), strict=True):
        assert np.array_equal(ours.a[0], theirs.a[2])
        assert np.array_equal(ours.b[0], theirs.b[2])
    assert np.array_equal(seen["steps"][0].c[0], operands(BATCH)[0].c[2])

    def still_wrong(batch, steps):
        found, stray = right(batch, steps)
        found[0, 4, 6] ^= FLIPPED
        return found, stray

    again = rerun(result, still_wrong)
    assert (again.first.found, again.first.expected) == (result.first.found, result.first.expected)


def test_without_a_mismatch_there_is_nothing_to_run_again():
    with pytest.raises(ValueError, match="no mismatch"):
        rerun(check_batch(BATCH, right), right)


def test_a_chain_with_a_load_hint_is_refused():
    hinted = msgspec.structs.replace(BATCH, load=Load.TILELOADDT1)
    with pytest.raises(ValueError, match="a chain of 3 steps"):
        check_batch(hinted, execute)


def test_registers_go_round():
    assert TileBatch("tdpbssd", "wrap", 0, tiles=1, first_register=6).registers == (6, 7, 0)


class Machine:
    """Runs a batch as the given executions say, the last of them for ever; a run takes 2 s."""

    def __init__(self, *executions):
        self.executions = list(executions)
        self.now = 0.0
        self.runs = 0

    def make(self, batch, steps):
        self.work = (batch, steps)
        return self

    def clock(self):
        return self.now

    def __call__(self):
        self.now += 2.0
        self.runs += 1

    def result(self):
        index = min(self.runs, len(self.executions)) - 1
        return self.executions[index](*self.work)


class TestSoak:
    def soaked(self, machine, seconds):
        return Soak(BATCH, machine.make, machine.clock).run_for(seconds)

    def test_it_goes_on_until_the_time_is_over(self):
        found = self.soaked(Machine(right), 11)
        assert (found.runs, found.busy_seconds, found.result.is_exact) == (6, 12.0, True)
        assert found.tiles_per_second == 5 * 3 / 2

    def test_it_runs_at_least_once(self):
        assert self.soaked(Machine(right), 0).runs == 1

    def test_it_stops_at_the_first_wrong_result(self):
        found = self.soaked(Machine(right, right, right, flips_one_bit, right), 100)
        assert (found.runs, found.result.wrong, found.result.first.tile) == (4, 1, 2)

    def test_a_wrong_first_result_is_no_reference(self):
        found = self.soaked(Machine(flips_one_bit), 100)
        assert (found.runs, found.result.wrong) == (1, 1)

    def test_a_stray_byte_ends_it(self):
        def strays(batch, steps):
            return right(batch, steps)[0], 1

        assert self.soaked(Machine(right, strays), 100).runs == 2
