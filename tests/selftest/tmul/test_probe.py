"""Operations per cycle on a core whose frequency changes."""

import itertools

import pytest

from amx_suite.core.units import Unit
from amx_suite.tmul.loops import chain_loop
from amx_suite.tmul.probe import CycleReader, Loop

pytestmark = pytest.mark.selftest


class Core:
    """A core; each call asks for ``hertz`` and ``cut``, the share of time lost."""

    def __init__(self, per_cycle=1000.0, hertz=lambda: 2.5e9, cut=lambda: 0.0):
        self.per_cycle, self.hertz, self.cut = per_cycle, hertz, cut

    def run(self, operations, per_cycle):
        return operations / per_cycle / self.hertz() / (1 - self.cut())

    def chain(self, passes):
        return self.run(passes * 64, 1.0)

    def unit(self, passes):
        return self.run(passes * 4096, self.per_cycle)


def reader(core):
    return CycleReader({Unit.TILE: Loop(core.unit, 4096)}, Loop(core.chain, 64))


@pytest.mark.parametrize("per_cycle", [1000.0, 410.0], ids=["quiet", "neighbour"])
@pytest.mark.parametrize("hertz", [1.0e9, 3.7e9])
def test_rate_at_any_frequency(hertz, per_cycle):
    (window,) = reader(Core(per_cycle, hertz=lambda: hertz)).read()
    assert window.per_cycle == pytest.approx(per_cycle)
    assert window.hertz == pytest.approx(hertz)


def test_interrupted_chain_spoils_its_window():
    """Known-bad: a slow unit beside a chain that was cut in half would look twice as fast."""
    core = Core(per_cycle=410.0)
    windows = reader(core)
    cuts = itertools.cycle([0.5, 0.0, 0.0])
    core.cut = lambda: next(cuts)
    assert list(windows.read()) == []


def test_small_changes_of_frequency_are_accepted():
    core = Core()
    windows = reader(core)
    speeds = itertools.cycle([2.50e9, 2.53e9, 2.56e9])
    core.hertz = lambda: next(speeds)
    (window,) = windows.read()
    assert window.per_cycle == pytest.approx(1000.0, rel=0.03)


def test_real_chain_takes_a_cycle_per_addition():
    chain = chain_loop()
    few = min(chain.run(1_000) for _ in range(20))
    many = min(chain.run(10_000) for _ in range(20))
    assert 5 < many / few < 20
    assert chain.work * 10_000 / many < 8e9, "more than one addition in a cycle"
