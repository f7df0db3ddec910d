"""The probe on this CPU, on loops whose speed is known, and in a child without torch."""

import gc
import itertools
import os
import threading
import time
from pathlib import Path

import pytest

from amx_suite.core.isa import AMX_FLAGS
from amx_suite.core.units import Unit
from amx_suite.errors import NotApplicableError
from amx_suite.host.cpuinfo import CpuInfo, read_cpuinfo
from amx_suite.tmul import loops as machine_loops
from amx_suite.tmul.probe import READING_SECONDS, Loop, Probe, Window
from amx_suite.tmul.xcomp import XcompReply
from amx_suite.worker import unit_probe
from amx_suite.worker.unit_probe import UnitProbe

pytestmark = pytest.mark.selftest

CPUS = tuple(sorted(os.sched_getaffinity(0)))
needs_vectors = pytest.mark.skipif(
    not set(read_cpuinfo().flags).issuperset(machine_loops.AVX2.flags),
    reason="needs AVX2 and FMA",
)


def loops(*seconds_per_pass, work=10.0):
    """Makes one loop for each of the given speeds, in turn."""
    speeds = iter(seconds_per_pass)

    def make():
        seconds = next(speeds)
        return Loop(lambda passes: passes * seconds, work)

    return make


def chain(hertz=2e9):
    """Makes the loop that counts cycles of a core of that frequency."""
    return lambda: Loop(lambda passes: passes * 64 / hertz, 64)


def test_rates_by_cycle_and_memory_by_clock():
    units = {Unit.FMA: loops(1e-5, work=1e6), Unit.MEMORY: loops(1e-4)}
    probe = Probe(CPUS[:1], units, chain())
    assert probe.read().rates == {
        Unit.FMA: pytest.approx(1e11 / 2e9),
        Unit.MEMORY: pytest.approx(1e5),
    }
    assert probe.read_sums() == {
        Unit.FMA: pytest.approx(1e11),
        Unit.MEMORY: pytest.approx(1e5),
    }


def test_interrupted_windows_are_left_out():
    """Known-bad: a chain that was cut in half would make its unit look twice as fast."""
    cuts = iter([])

    def run(passes):
        return passes * 64 / 2e9 * next(cuts, 1.0)

    probe = Probe(CPUS[:1], {Unit.FMA: loops(1e-5, work=1e6)}, lambda: Loop(run, 64))
    cuts = iter([2.0, 1.0, 1.0, 2.0])
    assert probe.read().rates[Unit.FMA] == pytest.approx(50.0)
    assert next(cuts, None) is None, "both windows were taken"


@pytest.mark.skipif(len(CPUS) < 2, reason="one CPU is never slower than another")
def test_the_slowest_cpu_counts():
    probe = Probe(CPUS[:2], {Unit.FMA: loops(1e-5, 2e-5, work=1e6)}, chain())
    assert probe.read().rates[Unit.FMA] == pytest.approx(25.0)


def test_half_slow_windows_average():
    """As in one long loop: half of the passes at half of the rate give two thirds of it."""
    factors = itertools.repeat(1.0)
    took = []

    def run(passes):
        took.append(passes * 1e-5 * next(factors))
        return took[-1]

    probe = Probe(CPUS[:1], {Unit.FMA: lambda: Loop(run, 1e6)}, chain())
    took.clear()
    probe.read()
    assert sum(took) == pytest.approx(READING_SECONDS, rel=0.3)
    factors = itertools.cycle([1.0, 2.0])
    assert probe.read().rates[Unit.FMA] == pytest.approx(50.0 * 2 / 3, rel=0.03)


def test_int8_is_read_for_peaks_alone():
    units = {Unit.TILE: loops(1e-5, work=1e6), Unit.TILE_INT8: loops(1e-5, work=2e6)}
    probe = Probe(CPUS[:1], units, chain())
    assert set(probe.read().rates) == {Unit.TILE}
    assert set(probe.read_sums()) == {Unit.TILE, Unit.TILE_INT8}


@pytest.fixture
def many_cpus(monkeypatch):
    """Threads may be bound to CPUs that this machine does not have."""
    bound = {}
    monkeypatch.setattr(
        os, "sched_setaffinity", lambda _, cpus: bound.update({threading.get_ident(): cpus})
    )
    return bound


def test_readings_start_no_threads(many_cpus):
    before = set(threading.enumerate())
    probe = Probe(range(56), {Unit.FMA: lambda: Loop(lambda n: n * 1e-5, 1e6)}, chain())
    threads = set(threading.enumerate()) - before
    assert len(threads) == 56
    for _ in range(5):
        probe.read()
    assert set(threading.enumerate()) - before == threads
    assert sorted(min(cpus) for cpus in many_cpus.values()) == list(range(56))


def test_threads_end_with_their_probe():
    before = set(threading.enumerate())
    probe = Probe(CPUS, {Unit.FMA: lambda: Loop(lambda n: n * 1e-5, 1e6)}, chain())
    probe.read()
    threads = set(threading.enumerate()) - before
    assert len(threads) == len(CPUS)
    del probe
    gc.collect()
    for thread in threads:
        thread.join(timeout=60)
    assert not any(thread.is_alive() for thread in threads)


@pytest.mark.parametrize("when", ["made", "read"])
def test_error_of_one_cpu_is_raised(many_cpus, when):
    """Known-bad: the others are well."""
    broken = threading.Event()

    def make():
        mine = many_cpus[threading.get_ident()] == {3}

        def run(passes):
            if mine and broken.is_set():
                raise RuntimeError("no such loop")
            return passes * 1e-5

        run(1)
        return Loop(run, 1e6)

    if when == "made":
        broken.set()
        with pytest.raises(RuntimeError, match="no such loop"):
            Probe(range(8), {Unit.FMA: make}, chain())
        return
    probe = Probe(range(8), {Unit.FMA: make}, chain())
    broken.set()
    with pytest.raises(RuntimeError, match="no such loop"):
        probe.read()
    broken.clear()
    assert probe.read().rates[Unit.FMA] == pytest.approx(50.0)


def test_absent_cpu_is_an_error():
    with pytest.raises(OSError, match="Invalid argument"):
        Probe([CPUS[0], 1 << 14], {Unit.FMA: loops(1e-5, 1e-5)}, chain())


VECTORS = {Unit.MEMORY, Unit.FMA}
TILES = {Unit.TILE, Unit.TILE_INT8}


@pytest.mark.parametrize(
    ("flags", "granted", "units"),
    [
        (("avx2", "fma"), True, VECTORS),
        (("avx512f", *AMX_FLAGS), False, VECTORS),
        (("avx512f", *AMX_FLAGS), True, VECTORS | TILES),
    ],
)
def test_units_are_what_machine_and_kernel_allow(monkeypatch, flags, granted, units):
    monkeypatch.setattr(unit_probe, "read_cpuinfo", lambda: CpuInfo(flags=flags))
    monkeypatch.setattr(unit_probe, "request_tiles", lambda: XcompReply(0 if granted else None, 1))
    assert set(unit_probe.unit_loops()) == units


@pytest.mark.parametrize(
    ("flags", "register"),
    [(("avx2", "fma", "avx512f"), "zmm"), (("avx2", "fma"), "ymm")],
    ids=["avx512", "avx2"],
)
def test_the_widest_vectors_are_read(monkeypatch, flags, register):
    asked = []
    monkeypatch.setattr(unit_probe, "read_cpuinfo", lambda: CpuInfo(flags=flags))
    for loop in ("fma_loop", "stream_loop"):
        monkeypatch.setattr(unit_probe, loop, lambda vectors, *size: asked.append(vectors.register))
    for make in unit_probe.unit_loops().values():
        make()
    assert asked == [register, register]


@pytest.mark.parametrize("flags", [(), ("avx2",), ("avx", "fma")])
def test_a_cpu_without_units_is_refused(monkeypatch, flags):
    """Known-bad: a probe that reads nothing would call every slice quiet."""
    monkeypatch.setattr(unit_probe, "read_cpuinfo", lambda: CpuInfo(flags=flags))
    with pytest.raises(NotApplicableError, match="nothing would tell quiet from busy"):
        unit_probe.unit_loops()


@pytest.fixture(scope="module")
def child():
    with UnitProbe(CPUS) as worker:
        yield worker


@needs_vectors
def test_a_child_reads_every_unit_and_rests(child):
    first, second = child.probe(), child.probe()
    assert set(first.rates) == set(second.rates) >= VECTORS
    assert Unit.TILE_INT8 not in first.rates
    # Other work may hold the CPU; three wide units would give 96.
    assert 0.5 < second.rates[Unit.FMA] < 96
    assert second.rates[Unit.MEMORY] > 1e8
    assert "torch" not in Path(f"/proc/{child.pid}/maps").read_text()
    while any("S (sleeping)" not in line for line in lines_of_threads(child.pid, "State")):
        time.sleep(0.01)  # until its threads have come to rest
    before = lines_of_threads(child.pid, "ctxt_switches")
    time.sleep(0.2)  # nobody asks meanwhile
    assert lines_of_threads(child.pid, "ctxt_switches") == before


@needs_vectors
def test_a_child_reads_cycles_and_peaks(child):
    found = {}
    for _ in range(50):  # on a busy machine a reading misses a unit now and then
        for each in child.read_cycles(CPUS):
            assert Unit.MEMORY not in each.per_cycle
            if each.per_cycle.get(Unit.FMA, 0.0) > 8:
                found[each.cpu] = each
        if set(found) == set(CPUS):
            break
    peaks = child.measure_peaks(3)
    assert set(found) == set(CPUS), "FMA never gave half of what one narrow unit does"
    for reading in found.values():
        assert 5e8 < reading.hertz[Unit.FMA] < 1e10
        # Three wide units; other work may make a window look faster than it was.
        assert reading.per_cycle[Unit.FMA] < 2 * 96
    assert peaks.cpus == CPUS
    assert set(peaks.rates) >= VECTORS
    for spread in peaks.rates.values():
        assert 0 < spread.low <= spread.median <= spread.high


def test_each_cpu_is_read_for_a_while(monkeypatch):
    """However long a reading takes: on a loaded machine all cores must still have their turn."""
    now = [100.0]

    class Reader:
        seconds = 0.0042

        def read(self):
            now[0] += self.seconds
            return [Window(Unit.FMA, 64.0, 2e9, False)]

    visited = []
    monkeypatch.setattr(unit_probe.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, cpus: visited.append(cpus))
    units = unit_probe.Units()
    units._cycles = Reader()
    found, _ = units.handle(unit_probe.ReadCycles((4, 2)), {})
    assert [each.cpu for each in found.found] == [4] * 12 + [2] * 12
    assert visited == [{4}, {2}, CPUS]
    Reader.seconds = 1.0
    found, _ = units.handle(unit_probe.ReadCycles((4, 2)), {})
    assert [each.cpu for each in found.found] == [4, 2]


@pytest.mark.parametrize(
    ("flags", "order"),
    [
        (("avx512f", *AMX_FLAGS), [Unit.TILE, Unit.FMA, Unit.TILE_INT8]),
        (("avx512f",), [Unit.FMA]),
    ],
)
def test_fma_is_read_beside_each_tile_unit(monkeypatch, flags, order):
    ran = []
    monkeypatch.setattr(unit_probe, "read_cpuinfo", lambda: CpuInfo(flags=flags))
    monkeypatch.setattr(unit_probe, "request_tiles", lambda: XcompReply(0, 1))
    for name, unit in (("fma_loop", Unit.FMA), ("chain_loop", None), ("throughput_loop", None)):
        monkeypatch.setattr(unit_probe, name, lambda *what, unit=unit: (what, unit))
    monkeypatch.setattr(unit_probe, "CycleReader", lambda loops, chain: ran.extend(loops))
    unit_probe.Units()._cycles  # noqa: B018 - made at its first use
    assert ran == order


def lines_of_threads(pid, word):
    """The lines with that word in what the kernel tells of each thread."""
    return [
        line
        for thread in sorted(Path(f"/proc/{pid}/task").iterdir())
        for line in (thread / "status").read_text().splitlines()
        if word in line
    ]
