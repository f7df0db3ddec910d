"""Does every CPU stay exact, and as fast as the others, when all work for a long time?"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from amx_suite.child.handle import most_children
from amx_suite.core.outliers import FEWEST_PEERS, judge_outliers, slow_ones
from amx_suite.plugin.options import Settings
from amx_suite.plugin.outcome import end, record_cpus
from amx_suite.plugin.run import HostView
from amx_suite.tmul.batch import BatchResult, SoakSlice, TileBatch, TileWorker
from amx_suite.tmul.fills import fills_for
from amx_suite.tmul.instructions import INSTRUCTIONS

pytestmark = [pytest.mark.instruction, pytest.mark.level(4)]

#: A, B, C and the result of this many full tiles fit in a core's second-level cache.
_TILES = 256
#: Between two slices all CPUs meet, results are looked at, and the next operands are made.
_SLICE_SECONDS = 5.0


def test_all_cpus_at_once(
    amx_support: HostView,
    amx_settings: Settings,
    amx_progress: Callable[..., None],
    amx_mismatch: Callable[[BatchResult], str],
    tile_worker: Callable[[int], TileWorker],
    record_property: Callable[[str, object], None],
) -> None:
    """All CPUs work on the same operands at the same time, so that their rates compare."""
    cpus = amx_support.facts.allowed_cpus
    if len(cpus) > (most := most_children()):
        pytest.fail(
            f"a soak needs a worker on each of {len(cpus)} CPUs at once, but this process may open "
            f"files for {most}; raise its limit (ulimit -Hn, as root) by {len(cpus) - most}",
            pytrace=False,
        )
    features = amx_support.facts.cpuid.amx_features
    work = [
        (mnemonic, fill)
        for mnemonic, instruction in INSTRUCTIONS.items()
        if instruction.feature in features
        for fill in fills_for(instruction)
    ]
    slices: dict[int, list[SoakSlice]] = defaultdict(list)
    began, turn = time.monotonic(), 0
    with ThreadPoolExecutor(len(cpus)) as pool:
        while turn < len(work) or time.monotonic() - began < amx_settings.soak_seconds:
            mnemonic, fill = work[turn % len(work)]
            batch = TileBatch(mnemonic, fill, amx_settings.seed + turn, tiles=_TILES)
            found = list(
                pool.map(lambda cpu, b=batch: tile_worker(cpu).soak_tiles(b, _SLICE_SECONDS), cpus)
            )
            wrong = [piece.result for piece in found if not piece.result.is_exact]
            record_cpus((result.cpu for result in wrong), cpus, record_property)
            assert not wrong, "\n".join(map(amx_mismatch, wrong))
            for cpu, piece in zip(cpus, found, strict=True):
                slices[cpu].append(piece)
            turn += 1
            elapsed = time.monotonic() - began
            amx_progress(
                f"soak: {elapsed:.0f} s of {amx_settings.soak_seconds:.0f} s, {turn} slices on "
                f"{len(cpus)} CPUs, no wrong element; {mnemonic} "
                f"{sum(piece.tiles_per_second for piece in found) / 1e6:.1f} M tiles/s"
            )
    if len(cpus) <= FEWEST_PEERS:
        amx_progress(f"soak: {len(cpus)} CPUs are too few to tell a slow one", keep=True)
    mnemonics = sorted({mnemonic for mnemonic, _ in work})
    slow = {
        (cpu, mnemonic): share
        for mnemonic in mnemonics
        for cpu, share in slow_ones(
            {cpu: _rate(slices[cpu], mnemonic) for cpu in cpus}, comparisons=len(mnemonics)
        ).items()
    }
    record_cpus({cpu for cpu, _ in slow}, cpus, record_property)
    named = {f"CPU {cpu} ({mnemonic})": share for (cpu, mnemonic), share in slow.items()}
    decision = judge_outliers(named, virtual=amx_support.facts.cpuid.virtual)
    end(decision.verdict, decision.reason, decision.remedy, strict=amx_settings.strict)


def _rate(slices: list[SoakSlice], mnemonic: str) -> float:
    mine = [piece for piece in slices if piece.result.batch.instruction == mnemonic]
    tiles = sum(piece.runs * piece.result.batch.tiles for piece in mine)
    return tiles / sum(piece.busy_seconds for piece in mine)
