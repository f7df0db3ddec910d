"""Tile code under emulation, and the loops of the other units on the CPU."""

from __future__ import annotations

import platform
import sys
import time
from pathlib import Path

import emulated_tiles
import kernel_program
import pytest

from amx_suite.tmul import loops
from amx_suite.tmul.instructions import INSTRUCTIONS

_CPUINFO = Path("/proc/cpuinfo")
_FLAGS = set(_CPUINFO.read_text().split()) if _CPUINFO.exists() else set()

pytestmark = [
    pytest.mark.selftest,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="assembles x86-64 code"),
]

# Where there are tiles, the instruction tests run the same code on them.
emulated = pytest.mark.skipif("amx_tile" in _FLAGS, reason="the CPU would run what is emulated")


def _emulated(*arguments):
    program = [sys.executable, kernel_program.__file__, *arguments]
    code, done = emulated_tiles.run_emulated(program)
    if code == emulated_tiles.NOT_TRACEABLE:
        pytest.skip("this process may not trace another")
    assert code == 0
    return done


@emulated
def test_batches_give_what_the_oracle_says():
    done = _emulated("batches")
    steps = sum(steps for steps, *_ in kernel_program.BATCHES)
    tiles = 2 * kernel_program.TILES
    assert {done[mnemonic] for mnemonic in INSTRUCTIONS} == {tiles * steps}
    assert done["tileloaddt1"] == len(INSTRUCTIONS) * tiles * 3
    assert done["ldtilecfg"] == done["tilerelease"] == len(INSTRUCTIONS) * 2 * 3


@emulated
def test_check_of_zeroed_tiles_sees_every_mistake():
    done = _emulated("eight-tiles")
    runs = 1 + len(kernel_program.MISTAKES)
    assert done["tileloadd"] == done["tilestored"] == 8 * runs
    assert done["tilezero"] == 2 * runs - 1


@emulated
def test_throughput_loop_runs_its_iterations():
    assert _emulated("throughput", "tdpbusd") == {
        "ldtilecfg": 1,
        "tilezero": 4,
        "tileloadd": 4,
        "tdpbusd": 4 * kernel_program.ITERATIONS,
        "tilerelease": 1,
    }


def _rate(loop, passes, runs=5):
    """Operations or bytes a second, in the fastest of the runs."""
    return passes * loop.work / min(loop.run(passes) for _ in range(runs))


@pytest.fixture(params=[loops.AVX512, loops.AVX2], ids=["avx512", "avx2"])
def vectors(request):
    found: loops.Vectors = request.param
    if not _FLAGS.issuperset(found.flags):
        pytest.skip(f"the CPU does not list {' and '.join(found.flags)}")
    return found


def test_fma_loop_takes_the_time_of_its_passes(vectors):
    loop = loops.fma_loop(vectors)
    # Runs of 0.2 and 2 ms, so many that a neighbour on the core does not meet them all.
    few, many = (_rate(loop, passes, runs=100) for passes in (20_000, 200_000))
    assert 0.3 < many / few < 3
    # From a 512-bit unit at 100 MHz, in a guest that is not alone, to two units at 6 GHz.
    assert 3e9 < many < 400e9


def test_stream_loop_is_no_faster_than_memory(vectors):
    assert 0.2e9 < _rate(loops.stream_loop(vectors, loops.stream_bytes(1)), 1) < 1e12


def test_loops_tell_the_time_that_passes():
    """By the monotonic clock around them, which takes longer: never less."""
    chain = loops.chain_loop()
    shares = []
    for _ in range(20):
        start = time.perf_counter()
        seconds = chain.run(200_000)
        shares.append(seconds / (time.perf_counter() - start))
    assert 0.9 < max(shares) < 1.05


def test_memory_buffers_stay_within_their_bound():
    """Without allocating them; a second-level cache has 2 MiB."""
    sizes = {cpus: loops.stream_bytes(cpus) for cpus in (1, 2, 32, 33, 56, 224)}
    assert sizes[1] == sizes[32] == 64 << 20
    assert all(cpus * size <= 2 << 30 for cpus, size in sizes.items())
    assert 8 << 20 < sizes[224] < sizes[33]
    assert all(size % (8 * 64) == 0 for size in sizes.values()), "each pass reads all of it"
