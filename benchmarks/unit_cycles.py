"""How much each unit of a core does per cycle, as a share of theory.

``python benchmarks/unit_cycles.py [SECONDS] [--load KIND]`` pins itself to the last CPU it may use
and takes windows of about a millisecond (``amx_suite.tmul.probe``). It prints the quantiles of the
core's frequency and of each unit's share of theory. ``--load fma``, ``tile`` or ``chain`` keeps the
other CPUs busy with that loop meanwhile. A neighbour outside this machine shows in the lower
quantiles.

In theory a core with two 512-bit units does 64 FP32 operations a cycle, and its tile unit 1024 in
BF16 and 2048 in INT8 (Intel 64 and IA-32 Architectures Optimization Reference Manual, chapter on
AMX: a TDP* instruction occupies the unit for 16 cycles).
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable

#: A window in which the unit gives less than this share of theory is a busy one.
_QUIET_SHARE = 1 / 1.10
_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


def main() -> int:
    """Measure and print; 3 where AMX is not usable."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("seconds", nargs="?", type=float, default=20.0)
    parser.add_argument("--load", choices=("none", "fma", "tile", "chain"), default="none")
    asked = parser.parse_args()
    from amx_suite.core.units import Unit
    from amx_suite.host.support import detect
    from amx_suite.tmul.loops import chain_loop
    from amx_suite.worker.unit_probe import units_of_a_core

    _, support = detect()
    if not support.usable:
        print(f"AMX NOT USABLE: {support.reason}: {support.explanation}")
        return 3
    *others, own = sorted(os.sched_getaffinity(0))
    stop = threading.Event()
    if asked.load != "none":
        units = units_of_a_core()
        loops = {"fma": units[Unit.FMA], "tile": units[Unit.TILE], "chain": chain_loop()}
        for cpu in others:
            threading.Thread(target=_burn, args=(cpu, loops[asked.load].run, stop)).start()
    os.sched_setaffinity(0, {own})
    try:
        _measure(asked.seconds)
    finally:
        stop.set()
    print(f"CPU {own}, others: {asked.load if others else 'no other CPU'}, {asked.seconds:g} s")
    return 0


def _burn(cpu: int, run: Callable[[int], object], stop: threading.Event) -> None:
    os.sched_setaffinity(0, {cpu})
    while not stop.is_set():
        run(100_000)


def _measure(seconds: float) -> None:
    from amx_suite.core.units import PER_CYCLE, Unit
    from amx_suite.tmul.loops import chain_loop
    from amx_suite.tmul.probe import CycleReader
    from amx_suite.worker.unit_probe import units_of_a_core

    units = units_of_a_core()
    reader = CycleReader(units, chain_loop())
    series: dict[str, list[float]] = {"GHz": [], **{str(unit): [] for unit in units}}
    tiles: list[tuple[float, bool]] = []
    taken, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        taken += len(units)
        for window in reader.read():
            series["GHz"].append(window.hertz / 1e9)
            share = window.per_cycle / PER_CYCLE[window.unit]
            series[window.unit].append(share)
            if window.unit is Unit.TILE:
                tiles.append((time.perf_counter(), share >= _QUIET_SHARE))
    print(f"{'quantile':<12}" + "".join(f"{q:>8.0%}" for q in _QUANTILES) + f"{'best':>8}")
    for name, found in series.items():
        cuts = statistics.quantiles(found, n=1000)
        shown = (*(cuts[round(q * 1000) - 1] for q in _QUANTILES), max(found))
        print(f"{name:<12}" + "".join(f"{x:>8.3f}" for x in shown))
    print(f"{taken} windows, {1 - len(series['GHz']) / taken:.1%} left out as interrupted")
    for quiet in (True, False):
        spells = _spells(tiles, quiet)
        share = sum(q is quiet for _, q in tiles) / len(tiles)
        lengths = ", ".join(f"{s:.3f}" for s in (statistics.median(spells), max(spells)))
        print(
            f"tiles {'quiet' if quiet else 'busy'} in {share:.0%} of the windows: {len(spells)} "
            f"spells, median and longest {lengths} s"
        )


def _spells(windows: list[tuple[float, bool]], quiet: bool) -> list[float]:
    """Seconds of each run of quiet, or of busy, windows; 0.0 if there is none."""
    found, began = [], None
    for when, is_quiet in windows:
        if is_quiet is quiet:
            began = when if began is None else began
        elif began is not None:
            found.append(when - began)
            began = None
    return found or [0.0]


if __name__ == "__main__":
    sys.exit(main())
