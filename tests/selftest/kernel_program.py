"""Runs tile code and compares what it stores; started by ``emulated_tiles.run_emulated``.

The arguments name what to run: ``batches``, ``eight-tiles``, or ``throughput`` with a mnemonic. A
difference is an assertion error.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    # Helpers of the selftests find each other beside themselves, as under pytest.
    sys.path.insert(0, str(Path(__file__).parent))
    import emulated_tiles

    emulated_tiles.let_parent_trace()

import numpy as np

from amx_suite.tmul import loops, registers
from amx_suite.tmul.batch import Load, TileBatch
from amx_suite.tmul.exactness import BatchCheck
from amx_suite.tmul.instructions import INSTRUCTIONS

ITERATIONS = 3
TILES = 2
#: Steps, padding and load instruction of each batch.
BATCHES = ((1, 0, Load.TILELOADDT1), (1, 7, Load.TILELOADD), (3, 4, Load.TILELOADD))


def _batches() -> None:
    for index, mnemonic in enumerate(INSTRUCTIONS):
        for steps, padding, load in BATCHES:
            batch = TileBatch(
                mnemonic,
                "uniform",
                index,
                tiles=TILES,
                rows=3,
                k_bytes=8,
                n_bytes=20,
                steps=steps,
                first_register=index + steps,
                load=load,
                padding=padding,
                misalignment=index,
                mxcsr=0x7F80,
            )
            check = BatchCheck(batch)
            for _ in range(2):
                result = check.run_for(0.0).result
                assert result.is_exact, str(result)


#: What could go wrong where registers 3 and 6 are zeroed.
MISTAKES = {
    "tmm3 is not zeroed": lambda each: each if each != "tilezero tmm3" else "nop",
    "tmm4 is zeroed for tmm6": lambda each: each.replace("tilezero tmm6", "tilezero tmm4"),
    "tmm1 and tmm2 are stored in each other's place": lambda each: (
        {" tmm1": each[:-1] + "2", " tmm2": each[:-1] + "1"}.get(each[-5:], each)
        if each.startswith("tilestored")
        else each
    ),
}


def _holds_after_zeroing() -> bool:
    data, zeroed = np.random.default_rng(11).bytes(registers.TILE_FILE_BYTES), (3, 6)
    tiles = registers.TileFile([(16 - tile, 64 - 4 * tile) for tile in range(8)])
    tiles.hold(data)
    tiles.zero(zeroed)
    return tiles.holds(data, zeroed)


def _eight_tiles() -> None:
    """The check of zeroed tiles accepts right code and sees every mistake."""
    assert _holds_after_zeroing()
    right = registers.assemble
    for mistake, change in MISTAKES.items():
        registers.assemble = lambda instructions, *rest, change=change, **named: right(
            list(map(change, instructions)), *rest, **named
        )
        assert not _holds_after_zeroing(), mistake


def _throughput(mnemonic: str) -> None:
    loops.throughput_loop(INSTRUCTIONS[mnemonic]).run(ITERATIONS)


if __name__ == "__main__":
    if sys.argv[1] == "batches":
        _batches()
    elif sys.argv[1] == "eight-tiles":
        _eight_tiles()
    else:
        _throughput(sys.argv[2])
