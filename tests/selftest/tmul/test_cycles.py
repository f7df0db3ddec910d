"""Operations per cycle: on a core whose frequency changes, and where windows are interrupted."""

import itertools
import time

import pytest

from amx_suite.core.units import Unit
from amx_suite.tmul.cycles import CycleReader
from amx_suite.tmul.loops import ADDS_PER_ITERATION, chain_loop
from amx_suite.tmul.probe import Loop

pytestmark = pytest.mark.selftest


class Core:
    """A core with a clock; ``hertz`` and ``cut``, a share of time lost, are asked for each call."""

    def __init__(self, per_cycle=1000.0, hertz=lambda: 2.5e9, cut=lambda: 0.0):
        self.now, self.per_cycle, self.hertz, self.cut = 0.0, per_cycle, hertz, cut

    def run(self, operations, per_cycle):
        self.now += operations / per_cycle / self.hertz() / (1 - self.cut())

    def reader(self):
        unit = Loop(lambda passes: self.run(passes * 4096, self.per_cycle), 4096)
        chain = Loop(lambda passes: self.run(passes * 64, 1.0), 64)
        return CycleReader({Unit.TILE: unit}, chain, lambda: self.now)


def test_the_frequency_does_not_matter():
    for hertz in (1.0e9, 3.7e9):
        (window,) = Core(hertz=lambda h=hertz: h).reader().read()
        assert window.per_cycle == pytest.approx(1000.0)
        assert window.hertz == pytest.approx(hertz)


def test_a_neighbour_on_the_unit_is_seen():
    (window,) = Core(per_cycle=410.0).reader().read()
    assert window.per_cycle == pytest.approx(410.0)


def test_an_interrupted_chain_spoils_its_window():
    """Known-bad: a slow unit beside a chain that was cut in half would look twice as fast."""
    core = Core(per_cycle=410.0)
    reader = core.reader()
    cuts = itertools.cycle([0.5, 0.0, 0.0])
    core.cut = lambda: next(cuts)
    assert list(reader.read()) == []


def test_small_changes_of_frequency_are_read():
    core = Core()
    reader = core.reader()
    speeds = itertools.cycle([2.50e9, 2.53e9, 2.56e9])
    core.hertz = lambda: next(speeds)
    (window,) = reader.read()
    assert window.per_cycle == pytest.approx(1000.0, rel=0.03)


def test_the_real_chain_takes_time_for_every_addition():
    chain = chain_loop()

    def seconds(iterations):
        start = time.perf_counter()
        chain(iterations)
        return time.perf_counter() - start

    few = min(seconds(1_000) for _ in range(20))
    many = min(seconds(10_000) for _ in range(20))
    assert 5 < many / few < 20
    assert ADDS_PER_ITERATION * 10_000 / many < 8e9, "more than one addition in a cycle"
