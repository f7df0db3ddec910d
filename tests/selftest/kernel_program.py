"""Runs tile kernels and compares what they store; started by ``emulated_tiles.run_emulated``.

The arguments name what to run: ``kernels``, ``batches``, ``eight-tiles``, or ``throughput`` and
``throughput-loads`` with a mnemonic. A difference is an assertion error.
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

from amx_suite.tmul import kernels, loops
from amx_suite.tmul.batch import Load, TileBatch
from amx_suite.tmul.config import tile_config
from amx_suite.tmul.conformance import check_batch
from amx_suite.tmul.execute import execute
from amx_suite.tmul.fills import Operands, fill
from amx_suite.tmul.instructions import INSTRUCTIONS, TileInstruction
from amx_suite.tmul.state_checks import due_tiles, stored_tiles

#: Tiles, rows of A and C, bytes in a row of A, bytes in a row of B and C: no two tiles alike.
SHAPE = (3, 5, 12, 28)
ITERATIONS = 3

_RNG = np.random.default_rng(11)


class _Scattered:
    """An array at an odd address, with room between rows and tiles that nothing may write to."""

    def __init__(self, array: np.ndarray, stride: int, *, backwards: bool = False) -> None:
        step = array.shape[-2] * stride + 41
        self.memory = _RNG.integers(256, size=step * (len(array) + 1), dtype=np.uint8)
        strides = (step, stride, array.itemsize)[-array.ndim :]
        self.view = np.ndarray(array.shape, array.dtype, self.memory, 13, strides)
        if backwards:
            self.view = self.view[..., ::-1, :]
        self.view[:] = array
        self._before = self.memory.copy()

    def assert_only_elements_changed(self) -> None:
        elements = self.view.copy()
        self.view[:] = 0
        after = self.memory.copy()
        self.memory[:] = self._before
        self.view[:] = 0
        assert np.array_equal(after, self.memory)
        self.view[:] = elements


def _scattered(operands: Operands) -> list[_Scattered]:
    a, b, c = operands
    return [
        _Scattered(a, a.shape[-1] + 5),
        _Scattered(b, b.shape[-1] + 9, backwards=True),
        _Scattered(c, 4 * c.shape[-1] + 3, backwards=True),
        _Scattered(np.zeros_like(c), 4 * c.shape[-1] + 7),
    ]


def _dot(instruction: TileInstruction, load_hint: bool) -> None:
    operands = fill("uniform", instruction, _RNG, *SHAPE)
    places = _scattered(operands)
    arguments = kernels.tile_arguments(*(place.view for place in places))
    kernels.dot_kernel(instruction, load_hint=load_hint)(arguments)
    out = places[3]
    assert not instruction.differs(out.view.copy(), instruction.oracle(*operands)).any()
    out.assert_only_elements_changed()
    assert np.array_equal(places[2].view, operands.c)


def _chain(instruction: TileInstruction) -> None:
    name = "chain" if instruction.is_float else "wrap"
    operands = fill(name, instruction, _RNG, *SHAPE)
    expected = operands.c[:1]
    places = _scattered(operands._replace(c=expected[0]))
    arguments = kernels.tile_arguments(*(place.view for place in places))
    kernels.chain_kernel(instruction)(arguments)
    for step in range(SHAPE[0]):
        a, b = operands.a[step : step + 1], operands.b[step : step + 1]
        expected = instruction.oracle(a, b, expected)
    assert not instruction.differs(places[3].view.copy(), expected[0]).any()
    places[3].assert_only_elements_changed()


def _copy_and_zero(register: int) -> None:
    config = np.frombuffer(tile_config([(5, 12)] * 8), np.uint8)
    source = _Scattered(_RNG.integers(1, 256, size=(5, 12), dtype=np.uint8), 23)
    for kernel, expected in (
        (kernels.tile_copy([register]), source.view),
        (kernels.tile_copy([register], zeroed=[register]), np.zeros((5, 12), np.uint8)),
    ):
        target = _Scattered(np.ones((5, 12), np.uint8), 31, backwards=True)
        addresses = (array.ctypes.data for array in (config, source.view, target.view))
        kernel(*addresses, source.view.strides[0], target.view.strides[0])
        assert np.array_equal(target.view, expected)
        target.assert_only_elements_changed()


def _kernels() -> None:
    for instruction in INSTRUCTIONS.values():
        _dot(instruction, load_hint=False)
        _dot(instruction, load_hint=True)
        _chain(instruction)
    for register in range(8):
        _copy_and_zero(register)


def _batches() -> None:
    """Every layout, chain and choice of registers, as the conformance tests run them."""
    for index, mnemonic in enumerate(INSTRUCTIONS):
        for steps, padding, load in (
            (1, 0, Load.TILELOADDT1),
            (1, 7, Load.TILELOADD),
            (3, 4, None),
        ):
            batch = TileBatch(
                mnemonic,
                "uniform",
                index,
                tiles=2,
                rows=3,
                k_bytes=8,
                n_bytes=20,
                steps=steps,
                first_register=index + steps,
                load=load or Load.TILELOADD,
                padding=padding,
                misalignment=index,
                mxcsr=0x7F80,
            )
            result = check_batch(batch, execute)
            assert result.is_exact, str(result)


#: What a kernel could do wrong that zeroes registers 3 and 6.
MISTAKES = {
    "tmm3 is not zeroed": lambda each: each if each != "tilezero tmm3" else "nop",
    "tmm4 is zeroed for tmm6": lambda each: each.replace("tilezero tmm6", "tilezero tmm4"),
    "tmm1 and tmm2 are stored in each other's place": lambda each: (
        {" tmm1": each[:-1] + "2", " tmm2": each[:-1] + "1"}.get(each[-5:], each)
        if each.startswith("tilestored")
        else each
    ),
}


def _eight_tiles() -> None:
    """The check of zeroed tiles sees them as they are due, and every mistake."""
    data, zeroed = _RNG.bytes(8 * 1024), (3, 6)
    due = due_tiles(data, zeroed)
    assert stored_tiles(kernels.tile_copy(range(8), zeroed=zeroed, yields=2), data) == due
    right = kernels.kernel_function
    for mistake, change in MISTAKES.items():
        kernels.kernel_function = lambda name, instructions, *rest, change=change: right(
            name, list(map(change, instructions)), *rest
        )
        assert stored_tiles(kernels.tile_copy(range(8), zeroed=zeroed), data) != due, mistake


def _throughput(mnemonic: str, loads: bool) -> None:
    config = np.frombuffer(tile_config([(16, 64)] * 8), np.uint8)
    operands = _RNG.integers(256, size=loops.THROUGHPUT_OPERAND_BYTES, dtype=np.uint8)
    run = loops.throughput_loop(INSTRUCTIONS[mnemonic], loads=loads)
    run(config.ctypes.data, operands.ctypes.data, ITERATIONS)


if __name__ == "__main__":
    if sys.argv[1] == "kernels":
        _kernels()
    elif sys.argv[1] == "batches":
        _batches()
    elif sys.argv[1] == "eight-tiles":
        _eight_tiles()
    else:
        _throughput(sys.argv[2], loads=sys.argv[1] == "throughput-loads")
