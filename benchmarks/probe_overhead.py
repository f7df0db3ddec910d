"""What a reading of the units costs outside its loops, and what Python's clock would add to them.

``python benchmarks/probe_overhead.py [READINGS]`` takes readings on all CPUs that it may use, with
loops of one pass that claim to have taken their time. So what a reading takes is its cost: threads,
Python and system calls. It must stay below 2 % of a slice of 0.3 s. Then each CPU runs chains of
0.2 ms, all at once, and Python's clock around each is compared with the time that the chain tells.
Run it on a quiet machine; other work only adds to the figures, so look at the lower quantiles.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from amx_suite.core.units import Unit
from amx_suite.tmul.loops import chain_loop
from amx_suite.tmul.probe import Loop, MakeLoop, Probe
from amx_suite.worker.unit_probe import unit_loops

_SLICE_SECONDS, _MOST_OF_A_SLICE = 0.3, 0.02
_SECONDS_PER_PASS = 1e-5
_CHAINS, _ADDITIONS = 500, 600_000


def main() -> int:
    """Measure and print; 1 where a reading in the median costs too much."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("readings", nargs="?", type=int, default=200)
    readings = parser.parse_args().readings
    cpus = sorted(os.sched_getaffinity(0))
    loops = unit_loops()
    # One pass through memory takes milliseconds, so another loop stands in for it.
    loops[Unit.MEMORY] = loops[Unit.FMA]
    probe = Probe(cpus, {unit: _short(make) for unit, make in loops.items()}, _short(chain_loop))
    costs, busy = [], []
    for _ in range(readings):
        start, cpu_start = time.perf_counter(), time.process_time()
        probe.read()
        costs.append(time.perf_counter() - start)
        busy.append(time.process_time() - cpu_start)
        time.sleep(0.02)  # as between slices: the threads sleep
    _print(f"a reading on {len(cpus)} CPUs", costs)
    _print("of that, CPU time of all threads", busy)
    print(f"the median is {statistics.median(costs) / _SLICE_SECONDS:.2%} of a slice of 0.3 s")
    with ThreadPoolExecutor(len(cpus)) as threads:
        added = [each for found in threads.map(_added_by_clock, cpus) for each in found]
    _print("Python's clock around a chain of 0.2 ms", added)
    return 0 if statistics.median(costs) < _MOST_OF_A_SLICE * _SLICE_SECONDS else 1


def _short(make: MakeLoop) -> MakeLoop:
    """A loop that runs once, however many passes it is asked for."""

    def made() -> Loop:
        loop = make()

        def run(passes: int) -> float:
            loop.run(1)
            return passes * _SECONDS_PER_PASS

        return Loop(run, loop.work)

    return made


def _added_by_clock(cpu: int) -> list[float]:
    os.sched_setaffinity(0, {cpu})
    chain, added = chain_loop(), []
    for _ in range(_CHAINS):
        start = time.perf_counter()
        seconds = chain.run(int(_ADDITIONS / chain.work))
        added.append(time.perf_counter() - start - seconds)
    return added


def _print(what: str, seconds: Sequence[float]) -> None:
    cuts = statistics.quantiles(seconds, n=20)
    shown = (min(seconds), cuts[4], cuts[9], cuts[14], cuts[18])
    figures = ", ".join(f"{x * 1e6:.1f}" for x in shown)
    print(f"{what} adds, in us (least, 25 %, median, 75 %, 95 %): {figures}")


if __name__ == "__main__":
    sys.exit(main())
