"""Operations per cycle: on a core whose frequency changes, and where windows are interrupted."""

import itertools
import time

import pytest

from amx_suite.core.units import Unit
from amx_suite.tmul.cycles import CycleReader, Loop
from amx_suite.tmul.loops import chain_loop

pytestmark = pytest.mark.selftest


class Core:
    """A core with a clock; each call asks for ``hertz`` and ``cut``, the share of time lost."""

    def __init__(self, per_cycle=1000.0, hertz=lambda: 2.5e9, cut=lambda: 0.0):
        self.now, self.per_cycle, self.hertz, self.cut = 0.0, per_cycle, hertz, cut

    def run(self, operations, per_cycle):
        self.now += operations / per_cycle / self.hertz() / (1 - self.cut())

    def reader(self):
        unit = Loop(lambda passes: self.run(passes * 4096, self.per_cycle), 4096)
        chain = Loop(lambda passes: self.run(passes * 64, 1.0), 64)
        return CycleReader({Unit.TILE: unit}, chain, lambda: self.now)


@pytest.mark.parametrize("per_cycle", [1000.0, 410.0], ids=["quiet", "neighbour"])
@pytest.mark.parametrize("hertz", [1.0e9, 3.7e9])
def test_rate_at_any_frequency(hertz, per_cycle):
    (window,) = Core(per_cycle, hertz=lambda: hertz).reader().read()
    assert window.per_cycle == pytest.approx(per_cycle)
    assert window.hertz == pytest.approx(hertz)


def test_interrupted_chain_spoils_its_window():
    """Known-bad: a slow unit beside a chain that was cut in half would look twice as fast."""
    core = Core(per_cycle=410.0)
    reader = core.reader()
    cuts = itertools.cycle([0.5, 0.0, 0.0])
    core.cut = lambda: next(cuts)
    assert list(reader.read()) == []


def test_small_changes_of_frequency_are_accepted():
    core = Core()
    reader = core.reader()
    speeds = itertools.cycle([2.50e9, 2.53e9, 2.56e9])
    core.hertz = lambda: next(speeds)
    (window,) = reader.read()
    assert window.per_cycle == pytest.approx(1000.0, rel=0.03)


def test_real_chain_takes_a_cycle_per_addition():
    chain = chain_loop()

    def seconds(iterations):
        start = time.perf_counter()
        chain.run(iterations)
        return time.perf_counter() - start

    few = min(seconds(1_000) for _ in range(20))
    many = min(seconds(10_000) for _ in range(20))
    assert 5 < many / few < 20
    assert chain.work * 10_000 / many < 8e9, "more than one addition in a cycle"
