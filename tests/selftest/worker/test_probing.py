"""The probe on this CPU, on loops whose speed is known, and in a child without torch."""

import itertools
import os
import threading
import time
from pathlib import Path

import pytest

from amx_suite.core.units import Unit
from amx_suite.errors import NotApplicableError
from amx_suite.host.cpuinfo import read_cpuinfo
from amx_suite.tmul import loops as machine_loops
from amx_suite.tmul.cycles import Loop
from amx_suite.tmul.probe import _WINDOWS, READING_SECONDS, Probe
from amx_suite.worker import probing
from amx_suite.worker.unit_probe import UnitProbe

pytestmark = pytest.mark.selftest

CPUS = tuple(sorted(os.sched_getaffinity(0)))
FLAGS = set(read_cpuinfo().flags)
VECTORS = FLAGS.issuperset(machine_loops.AVX2.flags)
needs_vectors = pytest.mark.skipif(not VECTORS, reason="needs AVX2 and FMA")


class Clock:
    """A clock of its own for each thread, which only loops move."""

    def __init__(self):
        self._local = threading.local()

    def __call__(self):
        return getattr(self._local, "now", 0.0)

    def advance(self, seconds):
        self._local.now = self() + seconds


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr("amx_suite.tmul.probe.time.perf_counter", made)
    return made


def loops(clock, *seconds_per_pass, work=10.0):
    """Makes one loop for each of the given speeds, in turn."""
    speeds = iter(seconds_per_pass)

    def make():
        seconds = next(speeds)
        return Loop(lambda passes: clock.advance(passes * seconds), work)

    return make


def chain(clock, hertz=2e9):
    """Makes the loop that counts cycles of a core of that frequency."""
    return lambda: Loop(lambda passes: clock.advance(passes * 64 / hertz), 64)


def test_rates_by_cycle_and_memory_by_clock(clock):
    units = {Unit.FMA: loops(clock, 1e-5, work=1e6), Unit.MEMORY: loops(clock, 1e-4)}
    probe = Probe(CPUS[:1], units, chain(clock))
    assert probe.read().rates == {
        Unit.FMA: pytest.approx(1e11 / 2e9),
        Unit.MEMORY: pytest.approx(1e5),
    }
    assert probe.read_sums() == {
        Unit.FMA: pytest.approx(1e11),
        Unit.MEMORY: pytest.approx(1e5),
    }


def test_interrupted_windows_are_left_out(clock):
    """Known-bad: a chain that was cut in half would make its unit look twice as fast."""
    cuts = iter([])

    def run(passes):
        clock.advance(passes * 64 / 2e9 * next(cuts, 1.0))

    probe = Probe(CPUS[:1], {Unit.FMA: loops(clock, 1e-5, work=1e6)}, lambda: Loop(run, 64))
    cuts = iter([2.0, 1.0, 1.0, 2.0])
    assert probe.read().rates[Unit.FMA] == pytest.approx(50.0)
    assert next(cuts, None) is None, "both windows were taken"


@pytest.mark.skipif(len(CPUS) < 2, reason="one CPU is never slower than another")
def test_the_slowest_cpu_counts(clock):
    probe = Probe(CPUS[:2], {Unit.FMA: loops(clock, 1e-5, 2e-5, work=1e6)}, chain(clock))
    assert probe.read().rates[Unit.FMA] == pytest.approx(25.0)


def test_a_reading_takes_about_as_long_as_said(clock):
    probe = Probe(CPUS[:1], {Unit.FMA: loops(clock, 1e-5, work=1e6)}, chain(clock))

    def timed():
        began = clock()
        probe._cycles[0].window(Unit.FMA)
        return clock() - began

    seconds = [timed() for _ in range(_WINDOWS)]
    assert sum(seconds) == pytest.approx(READING_SECONDS, rel=0.1)


def test_a_readings_windows_are_averaged(clock):
    """Half of the windows at half of the rate: two thirds of it, as by one long loop."""
    factors = itertools.repeat(1.0)

    def run(passes):
        clock.advance(passes * 1e-5 * next(factors))

    probe = Probe(CPUS[:1], {Unit.FMA: lambda: Loop(run, 1e6)}, chain(clock))
    factors = itertools.cycle([1.0, 2.0])
    found = probe.read().rates[Unit.FMA]
    assert found == pytest.approx(50.0 * 2 / 3, rel=0.03)


def test_an_error_on_a_thread_is_raised():
    def broken():
        raise RuntimeError("no such loop")

    with pytest.raises(RuntimeError, match="no such loop"):
        Probe(CPUS, {Unit.FMA: broken}, broken)


def test_tiles_are_read_only_where_the_kernel_permits_them(monkeypatch):
    class Refused:
        value = None

    class Info:
        flags = ("avx512f", "amx_tile", "amx_bf16", "amx_int8")

    opened = []
    monkeypatch.setattr(probing, "Probe", lambda cpus, loops, chain: opened.append(set(loops)))
    monkeypatch.setattr(probing, "read_cpuinfo", Info)
    monkeypatch.setattr(probing, "request_tiles", Refused)
    probing.open_probe(CPUS)
    Refused.value = 0
    probing.open_probe(CPUS)
    assert opened == [{Unit.MEMORY, Unit.FMA}, {Unit.MEMORY, Unit.FMA, Unit.TILE}]


@pytest.mark.parametrize(
    ("flags", "register"),
    [(("avx2", "fma", "avx512f"), "zmm"), (("avx2", "fma"), "ymm")],
    ids=["avx512", "avx2"],
)
def test_the_widest_vectors_are_what_is_read(monkeypatch, flags, register):
    class Info:
        pass

    Info.flags = flags
    asked = []
    monkeypatch.setattr(probing, "read_cpuinfo", Info)
    monkeypatch.setattr(
        probing, "Probe", lambda cpus, loops, chain: [make() for make in loops.values()]
    )
    for loop in ("fma_loop", "stream_loop"):
        monkeypatch.setattr(probing, loop, lambda vectors: asked.append(vectors.register))
    probing.open_probe(CPUS)
    assert asked == [register, register]


@pytest.mark.parametrize("flags", [(), ("avx2",), ("avx", "fma")])
def test_a_cpu_of_which_no_unit_can_be_read_is_refused(monkeypatch, flags):
    """Known-bad: a probe that reads nothing would call every slice quiet."""

    class Info:
        pass

    Info.flags = flags
    monkeypatch.setattr(probing, "read_cpuinfo", Info)
    for ask in (probing.open_probe, lambda cpus: probing.measure_peaks(cpus, 1)):
        with pytest.raises(NotApplicableError, match="nothing would tell quiet from busy"):
            ask(CPUS)


@needs_vectors
def test_a_real_child_reads_every_unit_without_torch_and_rests_between():
    with UnitProbe(CPUS) as worker:
        first, second = worker.probe(), worker.probe()
        assert {Unit.FMA, Unit.MEMORY} <= set(first.rates) == set(second.rates)
        # Between half of a narrow unit's rate and that of three wide ones.
        assert 8 < second.rates[Unit.FMA] < 96
        assert second.rates[Unit.MEMORY] > 1e8
        assert "torch" not in Path(f"/proc/{worker.pid}/maps").read_text()
        while any("S (sleeping)" not in line for line in lines_of_threads(worker.pid, "State")):
            time.sleep(0.01)
        before = lines_of_threads(worker.pid, "ctxt_switches")
        time.sleep(0.2)
        after = lines_of_threads(worker.pid, "ctxt_switches")
        assert after == before, "a thread of it ran while nobody asked"


@needs_vectors
def test_a_real_child_reads_cycles_of_every_cpu():
    with UnitProbe(CPUS) as worker:
        found = worker.read_cycles(0.2)
    assert [each.cpu for each in found] == list(CPUS)
    for each in found:
        assert 5e8 < each.hertz < 1e10
        # Between half of a narrow unit's rate and that of three wide ones.
        assert 8 < each.best[Unit.FMA] < 96


def lines_of_threads(pid, word):
    """The lines with that word in what the kernel tells of each thread."""
    return [
        line
        for thread in sorted(Path(f"/proc/{pid}/task").iterdir())
        for line in (thread / "status").read_text().splitlines()
        if word in line
    ]


@needs_vectors
def test_peaks_are_sums_over_the_cpus_with_their_spread():
    from amx_suite.worker.probing import measure_peaks

    cpu = min(os.sched_getaffinity(0))
    peaks = measure_peaks([cpu], readings=3)
    assert peaks.cpus == (cpu,)
    assert {Unit.FMA, Unit.MEMORY} <= set(peaks.rates)
    for spread in peaks.rates.values():
        assert 0 < spread.low <= spread.median <= spread.high
