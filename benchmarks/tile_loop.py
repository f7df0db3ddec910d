"""The suite's BF16 tile loop against an equal loop that a C compiler made.

``python benchmarks/tile_loop.py`` compiles a loop of the same products with intrinsics, then
alternates between the two in random order and prints both rates and the median of the pairs. The
suite's loop must reach at least 95 %. Needs AMX and a C compiler with ``-mamx-bf16`` (GCC 11 or
later); run it on a quiet machine.
"""

from __future__ import annotations

import ctypes
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

_PAIRS = 60
_ITERATIONS = 200_000

_LOOP_IN_C = """
#include <immintrin.h>
#include <stdint.h>

void loop(const void *config, const char *operands, int64_t iterations) {
  _tile_loadconfig(config);
  _tile_zero(0); _tile_zero(1); _tile_zero(2); _tile_zero(3);
  _tile_loadd(4, operands, 64);        _tile_loadd(5, operands + 1024, 64);
  _tile_loadd(6, operands + 2048, 64); _tile_loadd(7, operands + 3072, 64);
  for (int64_t i = 0; i < iterations; i++) {
    _tile_dpbf16ps(0, 4, 6); _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6); _tile_dpbf16ps(3, 5, 7);
  }
  _tile_release();
}
"""


def main() -> int:
    """Measure and print; 3 where AMX is not usable."""
    from amx_suite.host.support import detect
    from amx_suite.tmul.config import MAX_ROW_BYTES, MAX_ROWS, TILE_BYTES, TILES, tile_config
    from amx_suite.tmul.instructions import INSTRUCTIONS
    from amx_suite.tmul.loops import throughput_loop
    from amx_suite.tmul.xcomp import request_tiles

    in_c = _compiled()
    _, support = detect()
    if not support.usable:
        print(f"AMX NOT USABLE: {support.reason}: {support.explanation}")
        return 3
    request_tiles()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    config, operands = tile_config([(MAX_ROWS, MAX_ROW_BYTES)] * TILES), bytes(4 * TILE_BYTES)
    ours, work = throughput_loop(INSTRUCTIONS["tdpbf16ps"])
    loops = {"ours": ours, "C": lambda passes: in_c(config, operands, passes)}

    def rate(name: str) -> float:
        start = time.perf_counter()
        loops[name](_ITERATIONS)
        return work * _ITERATIONS / (time.perf_counter() - start)

    rng = random.Random(0)
    pairs = []
    for _ in range(_PAIRS):
        found = {name: rate(name) for name in rng.sample(sorted(loops), 2)}
        pairs.append((found["ours"], found["C"]))
    for name, series in zip(("ours", "C"), zip(*pairs, strict=True), strict=True):
        print(f"{name}: median {statistics.median(series) / 1e12:.3f} T/s")
    share = statistics.median(ours / theirs for ours, theirs in pairs)
    print(f"ours over C, median of {_PAIRS} pairs: {share:.1%} (at least 95 %)")
    return 0 if share >= 0.95 else 1


def _compiled() -> Callable[..., None]:
    with tempfile.TemporaryDirectory() as folder:
        source, library = Path(folder, "loop.c"), Path(folder, "loop.so")
        source.write_text(_LOOP_IN_C)
        compiler = os.environ.get("CC", "cc")
        command = [compiler, "-O2", "-shared", "-fPIC", "-mamx-tile", "-mamx-bf16"]
        subprocess.run([*command, "-o", str(library), str(source)], check=True)
        function = ctypes.CDLL(str(library)).loop
    function.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
    function.restype = None
    return function


if __name__ == "__main__":
    sys.exit(main())
