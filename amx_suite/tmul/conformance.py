"""Tile multiplications of this CPU compared with the oracle, bit for bit.

Runs in a child process that holds the tile permission.
"""

from __future__ import annotations

__all__ = ["Execute", "check_batch", "compare", "expected", "operands", "rerun"]

from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from amx_suite.tmul.batch import BatchResult, Mismatch, TileBatch
from amx_suite.tmul.fills import Operands, fill
from amx_suite.tmul.instructions import INSTRUCTIONS
from amx_suite.tmul.kernel_calls import current_cpu
from amx_suite.tmul.oracle import WordTiles

#: Runs the batch on the operands of each step: the last C [tiles, rows, columns] as bits, and the
#: bytes beyond its rows that were changed.
Execute = Callable[[TileBatch, Sequence[Operands]], tuple[WordTiles, int]]


def operands(batch: TileBatch) -> tuple[Operands, ...]:
    """The operands of each step, always the same for the same batch; only the first C is used.

    Raises KeyError or ValueError for an instruction or fill that there is not.
    """
    rng = np.random.default_rng(batch.seed)
    shape = (batch.tiles, batch.rows, batch.k_bytes, batch.n_bytes)
    instruction = INSTRUCTIONS[batch.instruction]
    return tuple(fill(batch.fill, instruction, rng, *shape) for _ in range(batch.steps))


def expected(batch: TileBatch, steps: Sequence[Operands]) -> WordTiles:
    """What the oracle says comes of the steps, as bits [tiles, rows, columns]."""
    c = steps[0].c
    for step in steps:
        c = INSTRUCTIONS[batch.instruction].oracle(step.a, step.b, c)
    return c


def compare(
    batch: TileBatch, steps: Sequence[Operands], ran: tuple[WordTiles, int], wanted: WordTiles
) -> BatchResult:
    """Count the elements that differ, and keep the first with all it takes to see it again."""
    found, stray = ran
    different = INSTRUCTIONS[batch.instruction].differs(found, wanted)
    wrong = int(np.count_nonzero(different))
    first = None
    if wrong:
        tile, row, column = (int(index) for index in np.argwhere(different)[0])
        first = Mismatch(
            tile=tile,
            row=row,
            column=column,
            found=int(found[tile, row, column]),
            expected=int(wanted[tile, row, column]),
            a=b"".join(step.a[tile].tobytes() for step in steps),
            b=b"".join(step.b[tile].tobytes() for step in steps),
            c=steps[0].c[tile].tobytes(),
        )
    return BatchResult(batch, current_cpu(), batch.elements, wrong, first, stray)


def check_batch(batch: TileBatch, execute: Execute) -> BatchResult:
    """Make the operands, run them, and compare every element."""
    steps = operands(batch)
    return compare(batch, steps, execute(batch, steps), expected(batch, steps))


def rerun(result: BatchResult, execute: Execute) -> BatchResult:
    """Run the tile of the result's first mismatch again, from its stored operands.

    Raises ValueError for a result without a mismatch, or whose operands do not fit its batch.
    """
    first = result.first
    if first is None:
        raise ValueError("this result has no mismatch: there is nothing to run again")
    batch = result.batch
    a = np.frombuffer(first.a, np.uint8).reshape(batch.steps, 1, batch.rows, batch.k_bytes)
    b = np.frombuffer(first.b, np.uint8).reshape(batch.steps, 1, batch.k_bytes // 4, batch.n_bytes)
    c = np.frombuffer(first.c, np.uint32).reshape(1, batch.rows, batch.n_bytes // 4)
    steps = [Operands(a[step], b[step], c) for step in range(batch.steps)]
    alone = msgspec.structs.replace(batch, tiles=1)
    return compare(alone, steps, execute(alone, steps), expected(alone, steps))
