"""What each unit of a core gives per cycle, by a clock made of dependent additions.

``python benchmarks/unit_cycles.py [SECONDS] [--load KIND]`` pins itself to the last CPU it may use
and takes windows of about a millisecond. In each a chain of dependent additions, one a cycle on
every x86 core, runs before and after the unit's loop; their rate is the core's frequency, whatever
the governor and turbo do. It prints the quantiles of the frequency and of each unit's operations
per cycle. ``--load fma``, ``tile`` or ``chain`` keeps the other CPUs busy with that loop meanwhile;
what a neighbour outside this machine does cannot be chosen, but shows in the lower quantiles.

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

_ADDS = 64
_CHAIN_SECONDS, _LOOP_SECONDS = 0.0002, 0.001
_QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)


def main() -> int:
    """Measure and print; 3 where AMX is not usable."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("seconds", nargs="?", type=float, default=20.0)
    parser.add_argument("--load", choices=("none", "fma", "tile", "chain"), default="none")
    asked = parser.parse_args()
    from amx_suite.host import detect
    from amx_suite.tmul.xcomp import request_tiles

    _, support = detect()
    if not support.usable:
        print(f"AMX NOT USABLE: {support.reason}: {support.explanation}")
        return 3
    request_tiles()
    chain, units = _chain(), _units()
    *others, own = sorted(os.sched_getaffinity(0))
    loads: dict[str, Callable[[int], object]] = {
        "fma": units["fma fp32"][0],
        "tile": units["tile bf16"][0],
        "chain": chain,
    }
    stop = threading.Event()
    if asked.load != "none":
        for cpu in others:
            threading.Thread(target=_burn, args=(cpu, loads[asked.load], stop)).start()
    os.sched_setaffinity(0, {own})
    try:
        _measure(chain, units, asked.seconds)
    finally:
        stop.set()
    print(f"CPU {own}, others: {asked.load if others else 'no other CPU'}, {asked.seconds:g} s")
    return 0


def _burn(cpu: int, loop: Callable[[int], object], stop: threading.Event) -> None:
    os.sched_setaffinity(0, {cpu})
    while not stop.is_set():
        loop(100_000)


def _measure(
    chain: Callable[[int], object],
    units: dict[str, tuple[Callable[[int], object], float]],
    seconds: float,
) -> None:
    adds = _iterations(chain, _CHAIN_SECONDS)
    passes = {name: _iterations(loop, _LOOP_SECONDS) for name, (loop, _) in units.items()}
    frequencies: list[float] = []
    per_cycle: dict[str, list[float]] = {name: [] for name in units}
    disagreeing, windows = 0, 0
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for name, (loop, work) in units.items():
            start = time.perf_counter()
            chain(adds)
            first = time.perf_counter()
            loop(passes[name])
            second = time.perf_counter()
            chain(adds)
            last = time.perf_counter()
            before, after = (adds * _ADDS / s for s in (first - start, last - second))
            windows += 1
            # A window that was cut by preemption shows in one of the two.
            disagreeing += not 0.98 < before / after < 1.02
            frequency = max(before, after)
            frequencies.append(frequency)
            per_cycle[name].append(passes[name] * work / (second - first) / frequency)
    print(f"{'quantile':<14}" + "".join(f"{q:>9.0%}" for q in _QUANTILES) + f"{'best':>9}")
    for name, series in {"chain, GHz": [f / 1e9 for f in frequencies], **per_cycle}.items():
        cuts = statistics.quantiles(series, n=1000)
        found = [cuts[round(q * 1000) - 1] for q in _QUANTILES]
        digits = 3 if name.startswith("chain") else 1
        print(f"{name:<14}" + "".join(f"{x:>9.{digits}f}" for x in (*found, max(series))))
    print(f"{windows} windows, {disagreeing / windows:.1%} with chains that differ by over 2 %")


def _iterations(loop: Callable[[int], object], seconds: float) -> int:
    """Iterations that take so long at the fastest speed seen."""
    count = 1000
    fastest = min(_seconds(loop, count) for _ in range(20))
    return max(1, round(count * seconds / fastest))


def _seconds(loop: Callable[[int], object], count: int) -> float:
    start = time.perf_counter()
    loop(count)
    return time.perf_counter() - start


def _chain() -> Callable[[int], object]:
    """``_ADDS`` additions in one iteration, each of which waits for the one before it."""
    from amx_suite.tmul.kernels import kernel_function

    instructions = (
        "mov rax, $0",
        "xor ecx, ecx",
        "mov edx, 1",
        ".p2align 5",
        "2:",
        # By a register: additions of constants are merged when they are renamed.
        *("add rcx, rdx" for _ in range(_ADDS)),
        "dec rax",
        "jnz 2b",
    )
    return kernel_function("chain", instructions, ("i64",), ("rax", "rcx", "rdx"))


def _units() -> dict[str, tuple[Callable[[int], object], float]]:
    """Each unit's loop, and the operations of one iteration."""
    import numpy as np

    from amx_suite.tmul.config import MAX_ROW_BYTES, MAX_ROWS, TILES, tile_config
    from amx_suite.tmul.instructions import INSTRUCTIONS
    from amx_suite.tmul.loops import (
        AVX512,
        DOTS_PER_ITERATION,
        THROUGHPUT_OPERAND_BYTES,
        fma_loop,
        throughput_loop,
    )

    shape = (MAX_ROWS, MAX_ROW_BYTES)
    config = np.frombuffer(tile_config([shape] * TILES), np.uint8)
    operands = np.zeros(THROUGHPUT_OPERAND_BYTES, np.uint8)

    def tiles(mnemonic: str) -> tuple[Callable[[int], object], float]:
        instruction = INSTRUCTIONS[mnemonic]
        loop = throughput_loop(instruction)
        work = DOTS_PER_ITERATION * instruction.operations(MAX_ROWS, MAX_ROW_BYTES, MAX_ROW_BYTES)
        return lambda count: loop(config.ctypes.data, operands.ctypes.data, count), work

    return {
        "fma fp32": (fma_loop(AVX512), AVX512.fma_operations),
        "tile bf16": tiles("tdpbf16ps"),
        "tile int8": tiles("tdpbssd"),
    }


if __name__ == "__main__":
    sys.exit(main())
