"""Tile units on simulated cores: healthy, slow, shared with a neighbour, both, in a guest."""

import pytest

from amx_suite.core.peaks import CoreCycles
from amx_suite.core.units import PER_CYCLE, Unit
from amx_suite.core.verdict import Verdict
from amx_suite.host.tile_units import watch_tiles
from amx_suite.host.topology import Core

pytestmark = pytest.mark.selftest

UNITS = (Unit.FMA, Unit.TILE, Unit.TILE_INT8)

#: A visit to a core has several readings; three times what they take, so that there are few.
READING_SECONDS, VISIT_SECONDS = 0.0126, 0.05


class Machine:
    """Cores with a clock; ``shares`` maps a CPU to a function from seconds to its units' shares.

    It gives FMA, tiles in BF16 and in INT8, None for an interrupted unit. ``hertz`` are the
    frequencies seen beside them.
    """

    def __init__(self, count, shares=None, siblings=1, reading_seconds=READING_SECONDS):
        self.cores = [
            Core((cpu,), tuple(cpu + count * thread for thread in range(siblings)))
            for cpu in range(count)
        ]
        self.shares, self.now, self.visits = shares or {}, 1.0, dict.fromkeys(range(count), 0)
        self.reading_seconds, self.hertz = reading_seconds, (2.5e9, 2.5e9, 2.5e9)

    def read(self, cpus):
        for cpu in cpus:
            self.visits[cpu] += 1
            end = self.now + VISIT_SECONDS
            while self.now < end:
                self.now += self.reading_seconds
                shares = dict(zip(UNITS, self.shares.get(cpu, healthy)(self.now), strict=True))
                rates = {u: x * PER_CYCLE[u] for u, x in shares.items() if x is not None}
                yield CoreCycles(cpu, rates, dict(zip(UNITS, self.hertz, strict=True)), self.now)

    def watch(self):
        return watch_tiles(self.cores, self.read, lambda text: None, lambda: self.now)

    def judge(self, *, virtual=False):
        return self.watch().judge(virtual=virtual)


def healthy(now):
    return 0.98, 0.95, 0.96


def slow(now):
    return 0.98, 0.41, 0.41


def shared(now):
    return 0.74, 0.41, 0.41


def at_times(one, other, times):
    """``one`` within the given (from, to) seconds, else ``other``."""
    return lambda now: (one if any(a <= now < b for a, b in times) else other)(now)


@pytest.mark.parametrize("virtual", [False, True])
def test_healthy_units_pass_at_once(virtual):
    machine = Machine(2)
    verdict, reason, _ = machine.judge(virtual=virtual)
    assert verdict is Verdict.PASS
    assert "0.95 of theory" in reason
    assert machine.visits == {0: 1, 1: 1}


def test_slow_unit_fails_on_bare_metal():
    """Known-bad."""
    verdict, reason, _ = Machine(2, {1: slow}, siblings=2).judge()
    assert verdict is Verdict.FAIL
    assert reason.endswith(
        "CPU 1 (core of CPUs 1, 3) tile 0.41, CPU 1 (core of CPUs 1, 3) tile int8 0.41"
    )


def test_slow_unit_in_guest_is_inconclusive():
    verdict, reason, remedy = Machine(2, {0: slow}).judge(virtual=True)
    assert verdict is Verdict.INCONCLUSIVE
    assert "CPU 0 tile 0.41" in reason
    assert "another guest" in remedy


def test_int8_is_judged_by_itself():
    verdict, reason, _ = Machine(1, {0: lambda now: (0.98, 0.98, 0.5)}).judge()
    assert verdict is Verdict.FAIL
    assert reason.endswith(": CPU 0 tile int8 0.50")


@pytest.mark.parametrize(
    "shares",
    [
        shared,
        lambda now: (0.89, 0.41, 0.41),
        lambda now: (None, 0.41, 0.41),
        lambda now: (0.98, None, 0.41),
        # FMA looks well for a moment, which is no proof that nobody was there.
        at_times(slow, shared, [(20, 29.9)]),
    ],
    ids=["always", "hardly", "fma-interrupted", "tile-interrupted", "all-but-ten-seconds"],
)
@pytest.mark.parametrize("virtual", [False, True])
def test_shared_core_fails_nobody(shares, virtual):
    verdict, reason, _ = Machine(2, {1: shares}).judge(virtual=virtual)
    assert verdict is Verdict.INCONCLUSIVE
    assert reason.startswith("the core was shared all the time")
    assert reason.endswith(": CPU 1")


def test_fast_windows_of_shared_core_do_not_count():
    """Known-bad: beside a slow FMA nothing is known of the frequency that the tiles ran at."""
    assert Machine(1, {0: lambda now: (0.5, 0.95, 0.95)}).judge()[0] is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("hertz", [(2.5e9, 1.2e9, 2.5e9), (1.2e9, 2.5e9, 2.5e9)])
def test_unlike_frequencies_do_not_count(hertz):
    """Known-bad: chains slowed to a half around one unit make it look twice as fast."""
    machine = Machine(1, {0: lambda now: (0.98, 0.82, 0.82)})
    machine.hertz = hertz
    assert machine.judge()[0] is Verdict.INCONCLUSIVE


def test_slow_unit_fails_in_the_neighbours_pauses():
    shares = at_times(slow, shared, [(5, 5.1), (17, 17.1)])
    verdict, reason, _ = Machine(1, {0: shares}).judge()
    assert verdict is Verdict.FAIL
    assert "CPU 0 tile 0.41" in reason


def test_unit_quiet_for_a_moment_passes():
    """Its neighbour goes after 50 s, and FMA did not always show it."""
    shares = at_times(healthy, at_times(slow, shared, [(0, 40)]), [(50, 50.05)])
    machine = Machine(2, {1: shares})
    assert machine.judge()[0] is Verdict.PASS
    assert machine.now < 52


def test_slow_beside_shared_cores_fails():
    verdict, reason, _ = Machine(3, {0: shared, 2: slow}).judge()
    assert verdict is Verdict.FAIL
    assert "CPU 2 tile 0.41" in reason
    assert "less than 10 s: CPU 0" in reason


@pytest.mark.parametrize(
    ("shares", "expected"),
    [(healthy, Verdict.PASS), (slow, Verdict.FAIL), (shared, Verdict.INCONCLUSIVE)],
)
@pytest.mark.parametrize("reading_seconds", [READING_SECONDS, 0.04], ids=["idle", "loaded"])
def test_224_cores_are_judged_in_a_minute(shares, expected, reading_seconds):
    machine = Machine(224, dict.fromkeys(range(224), shares), reading_seconds=reading_seconds)
    assert machine.judge()[0] is expected
    assert machine.now < 62
    assert max(machine.visits.values()) - min(machine.visits.values()) <= 1


def test_one_slow_core_among_224_is_found():
    machine = Machine(224, {100: slow})
    verdict, reason, _ = machine.judge()
    assert verdict is Verdict.FAIL
    assert reason.endswith("CPU 100 tile 0.41, CPU 100 tile int8 0.41")
    assert machine.visits[99] == 1, "a core that has passed is read no more"


def test_figures_of_each_cpu_are_kept():
    figures = Machine(2, {1: shared}).watch().figures
    assert figures[0] == (
        "fma 0.98, tile 0.95, tile int8 0.96 of theory at 2.50 GHz, 4 of 4 readings undisturbed"
    )
    assert figures[1].startswith("0 of ")
