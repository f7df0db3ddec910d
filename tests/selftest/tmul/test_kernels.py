"""Kernels and loops: the bytes they become, and what they do.

Tile kernels run with their tile instructions emulated; encodings are worked out from the SDM (VEX
prefix, opcode, ModRM, SIB) and agree with those of ``test_jit``.
"""

from __future__ import annotations

import platform
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import emulated_tiles
import kernel_program
import numpy as np
import pytest

from amx_suite.tmul import jit, kernels, loops
from amx_suite.tmul.instructions import INSTRUCTIONS

_CPUINFO = Path("/proc/cpuinfo")
_FLAGS = set(_CPUINFO.read_text().split()) if _CPUINFO.exists() else set()

pytestmark = [
    pytest.mark.selftest,
    pytest.mark.skipif(platform.machine() != "x86_64", reason="assembles x86-64 code"),
]

#: ``mnemonic tmm0, tmm1, tmm2``.
_DOT_BYTES = {
    "tdpbf16ps": "c4e26a5cc1",
    "tdpfp16ps": "c4e26b5cc1",
    "tdpbuud": "c4e2685ec1",
    "tdpbusd": "c4e2695ec1",
    "tdpbsud": "c4e26a5ec1",
    "tdpbssd": "c4e26b5ec1",
    "tcmmrlfp16ps": "c4e2686cc1",
    "tcmmimfp16ps": "c4e2696cc1",
}
_LDTILECFG_RAX = "c4e2784900"
_TILERELEASE = "c4e27849c0"
#: tmm0, [rdx + r10]; tmm1, [rax + r8]; tmm2, [rcx + r9]; [rbx + r11], tmm0
_LOADS = {
    "tileloadd": ("c4a27b4b0412", "c4a27b4b0c00", "c4a27b4b1409"),
    "tileloaddt1": ("c4a2794b0412", "c4a2794b0c00", "c4a2794b1409"),
}
_STORE = "c4a27a4b041b"


_CodeOf = Callable[..., bytes]


@pytest.fixture
def code_of(monkeypatch: pytest.MonkeyPatch) -> _CodeOf:
    """Calls a function that assembles, and gives the machine code instead of loading it."""

    class Assembled:
        def __init__(self, ir: str, features: tuple[str, ...]) -> None:
            self.code = jit.machine_code(ir, features=features)

        def function(self, name: str, *argtypes: object) -> None:
            made.append(self.code)

    made: list[bytes] = []
    monkeypatch.setattr(kernels, "load", Assembled)

    def code(assemble: Callable[..., object], *arguments: object, **options: object) -> bytes:
        assemble(*arguments, **options)
        return made[-1]

    return code


def _positions(code: bytes, *expected: str) -> list[int]:
    """Where each encoding is; it must be there once."""
    assert [code.count(bytes.fromhex(each)) for each in expected] == [1] * len(expected)
    return [code.index(bytes.fromhex(each)) for each in expected]


@pytest.mark.parametrize("mnemonic", INSTRUCTIONS)
@pytest.mark.parametrize("load", _LOADS)
def test_dot_kernel_is_the_instructions_in_order(
    mnemonic: str, load: str, code_of: _CodeOf
) -> None:
    hint = load == "tileloaddt1"
    code = code_of(kernels.dot_kernel, INSTRUCTIONS[mnemonic], load_hint=hint)
    expected = (_LDTILECFG_RAX, *_LOADS[load], _DOT_BYTES[mnemonic], _STORE, _TILERELEASE)
    positions = _positions(code, *expected)
    assert positions == sorted(positions)


@pytest.mark.parametrize("mnemonic", INSTRUCTIONS)
def test_chain_kernel_loads_and_stores_c_once(mnemonic: str, code_of: _CodeOf) -> None:
    code = code_of(kernels.chain_kernel, INSTRUCTIONS[mnemonic])
    expected = (*_LOADS["tileloadd"], _DOT_BYTES[mnemonic], _STORE, _TILERELEASE)
    positions = _positions(code, *expected)
    assert positions == sorted(positions)
    # jnz rel8 leads back behind the load of C, to that of A.
    jump = code.index(b"\x75")
    assert jump + 2 + int.from_bytes(code[jump + 1 : jump + 2], signed=True) == positions[1]
    assert positions[3] < jump < positions[4]


@pytest.mark.parametrize("mnemonic", INSTRUCTIONS)
@pytest.mark.parametrize("loads", [False, True])
def test_throughput_loop_uses_all_eight_tiles(mnemonic: str, loads: bool, code_of: _CodeOf) -> None:
    code = code_of(loops.throughput_loop, INSTRUCTIONS[mnemonic], loads=loads)
    vex, opcode = bytes.fromhex(_DOT_BYTES[mnemonic])[2:4]
    dots = [
        # VEX.vvvv, inverted, is the tile of B; ModRM holds those of C and A.
        bytes([0xC4, 0xE2, vex & 0x87 | (~b & 15) << 3, opcode, 0xC0 | c << 3 | a]).hex()
        for c, a, b in ((0, 4, 6), (1, 4, 7), (2, 5, 6), (3, 5, 7))
    ]
    positions = _positions(code, *dots, _TILERELEASE)
    assert positions == sorted(positions)
    tile_load = bytes.fromhex("c4e27b4b")
    assert code.count(tile_load) == (8 if loads else 4)
    # The jump leads to an aligned address.
    start = positions[3] + 5 + 3
    assert code[start] == 0x75
    target = start + 2 + int.from_bytes(code[start + 1 : start + 2], signed=True)
    assert target % 32 == 0
    assert code[target:].count(tile_load) == (4 if loads else 0)


def test_tile_kernels_of_every_register(code_of: _CodeOf) -> None:
    for register in range(8):
        zero = bytes([0xC4, 0xE2, 0x7B, 0x49, 0xC0 | register << 3])
        assert code_of(kernels.tile_copy, [register], zeroed=[register]).count(zero) == 1
        assert code_of(kernels.tile_copy, [register]).count(zero) == 0


@pytest.mark.parametrize(
    # vfmadd231ps sum, factor, factor and vmovups target, [memory], without their registers.
    ("vectors", "multiply_add", "load"),
    [(loops.AVX512, "0d40b8", "62f17c4810"), (loops.AVX2, "0db8", "c5fc10")],
    ids=["avx512", "avx2"],
)
def test_vector_loops_have_the_operations_that_are_counted(
    code_of: _CodeOf, vectors: loops.Vectors, multiply_add: str, load: str
) -> None:
    fma = code_of(loops.fma_loop, vectors)
    numbers = vectors.register_bytes // 4
    assert fma.count(bytes.fromhex(multiply_add)) * 2 * numbers == vectors.fma_operations
    stream = code_of(loops.stream_loop, vectors)
    assert stream.count(bytes.fromhex(load)) * vectors.register_bytes == vectors.stream_bytes


def _emulated(*arguments: str) -> Counter[str]:
    program = [sys.executable, kernel_program.__file__, *arguments]
    code, done = emulated_tiles.run_emulated(program)
    if code == emulated_tiles.NOT_TRACEABLE:
        pytest.skip("this process may not trace another")
    assert code == 0
    return done


# Where there are tiles, the instruction tests run the same kernels on them.
emulated = pytest.mark.skipif("amx_tile" in _FLAGS, reason="the CPU would run what is emulated")


@emulated
def test_kernels_compute_what_the_oracle_says() -> None:
    done = _emulated("kernels")
    # Each dot kernel once for each tile and load; each chain one step for each tile.
    tiles = kernel_program.SHAPE[0]
    assert {done[mnemonic] for mnemonic in INSTRUCTIONS} == {3 * tiles}
    assert done["tileloaddt1"] == len(INSTRUCTIONS) * 3 * tiles
    assert done["ldtilecfg"] == done["tilerelease"] == 3 * len(INSTRUCTIONS) + 16
    assert done["tilezero"] == 8


@emulated
def test_batches_are_laid_out_and_run_as_they_say() -> None:
    done = _emulated("batches")
    # Two batches of one step and one of three, two tiles each.
    assert {done[mnemonic] for mnemonic in INSTRUCTIONS} == {2 * (1 + 1 + 3)}
    assert done["tileloaddt1"] == len(INSTRUCTIONS) * 2 * 3


@emulated
def test_the_check_of_zeroed_tiles_sees_every_mistake() -> None:
    done = _emulated("eight-tiles")
    runs = 1 + len(kernel_program.MISTAKES)
    assert done["tileloadd"] == done["tilestored"] == 8 * runs
    assert done["tilezero"] == 2 * runs - 1


@emulated
@pytest.mark.parametrize(("name", "loads"), [("throughput", 4), ("throughput-loads", 16)])
def test_throughput_loop_runs_its_iterations(name: str, loads: int) -> None:
    assert _emulated(name, "tdpbusd") == {
        "ldtilecfg": 1,
        "tilezero": 4,
        "tileloadd": loads,
        "tdpbusd": loops.DOTS_PER_ITERATION * kernel_program.ITERATIONS,
        "tilerelease": 1,
    }


def _tiles(count: int, rows: int, k_bytes: int, n_bytes: int) -> list[np.ndarray]:
    return [
        np.zeros((count, rows, k_bytes), np.uint8),
        np.zeros((count, k_bytes // 4, n_bytes), np.uint8),
        np.zeros((count, rows, n_bytes // 4), np.uint32),
        np.zeros((count, rows, n_bytes // 4), np.uint32),
    ]


def test_arguments_describe_the_arrays() -> None:
    a, b, c, out = _tiles(6, 5, 12, 28)
    arguments = kernels.tile_arguments(a[::2], b[1::2], c[:3], out[::-2])
    assert arguments.count == 3
    assert (arguments.a, arguments.a_stride, arguments.a_step) == (a.ctypes.data, 12, 2 * 5 * 12)
    assert arguments.b == b.ctypes.data + 3 * 28
    assert (arguments.out_stride, arguments.out_step) == (28, -2 * 5 * 28)
    config = bytes(arguments.memory[0])
    # C, A, B: bytes in a row, and rows.
    assert config[16:22:2] == bytes([28, 12, 28])
    assert config[48:51] == bytes([5, 5, 3])


@pytest.mark.parametrize("wrong", range(4))
def test_arrays_that_do_not_fit_together_are_refused(wrong: int) -> None:
    tiles = _tiles(2, 5, 12, 28)
    tiles[wrong] = tiles[wrong][:, :-1]
    with pytest.raises(ValueError, match="do not multiply"):
        kernels.tile_arguments(*tiles)


def test_rows_with_gaps_between_elements_are_refused() -> None:
    _, b, c, out = _tiles(2, 5, 12, 28)
    gaps = np.zeros((2, 5, 24), np.uint8)[..., ::2]
    with pytest.raises(ValueError, match="side by side"):
        kernels.tile_arguments(gaps, b, c, out)


def test_shapes_that_no_tile_has_are_refused() -> None:
    with pytest.raises(ValueError, match="palette 1 allows"):
        kernels.tile_arguments(*_tiles(2, 17, 12, 28))


def _least_seconds(run: Callable[..., object], *arguments: int) -> float:
    seconds = []
    for _ in range(5):
        start = time.perf_counter()
        run(*arguments)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


@pytest.fixture(params=[loops.AVX512, loops.AVX2], ids=["avx512", "avx2"])
def vectors(request: pytest.FixtureRequest) -> loops.Vectors:
    found: loops.Vectors = request.param
    if not _FLAGS.issuperset(found.flags):
        pytest.skip(f"the CPU does not list {' and '.join(found.flags)}")
    return found


def test_fma_loop_takes_the_time_of_its_iterations(vectors: loops.Vectors) -> None:
    loop = loops.fma_loop(vectors)
    few, many = (_least_seconds(loop, iterations) for iterations in (20_000, 200_000))
    assert 3 < many / few < 30
    gflops = 200_000 * vectors.fma_operations / many / 1e9
    # From a unit of 512 bits at 100 MHz, for a guest that is not alone, to two at 6 GHz.
    assert 3 < gflops < 400


def test_stream_loop_reads_to_the_end_and_no_further(vectors: loops.Vectors) -> None:
    # Two pages, of which the second may not be touched.
    program = (
        "import ctypes, mmap, resource, sys\n"
        "resource.setrlimit(resource.RLIMIT_CORE, (0, 0))\n"
        "from amx_suite.tmul import loops\n"
        "memory = mmap.mmap(-1, 2 * mmap.PAGESIZE)\n"
        "start = ctypes.addressof(ctypes.c_char.from_buffer(memory))\n"
        "libc = ctypes.CDLL(None)\n"
        "libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]\n"
        "assert libc.mprotect(start + mmap.PAGESIZE, mmap.PAGESIZE, 0) == 0\n"
        "vectors = getattr(loops, sys.argv[2])\n"
        "blocks = mmap.PAGESIZE // vectors.stream_bytes\n"
        "loops.stream_loop(vectors)(start, blocks + int(sys.argv[1]))\n"
    )
    name = "AVX512" if vectors is loops.AVX512 else "AVX2"
    codes = [
        subprocess.run([sys.executable, "-c", program, extra, name], check=False).returncode
        for extra in ("0", "1")
    ]
    assert codes == [0, -signal.SIGSEGV]


def test_stream_loop_is_no_faster_than_memory_can_be(vectors: loops.Vectors) -> None:
    memory = np.ones(64 * 2**20, np.uint8)
    loop = loops.stream_loop(vectors)
    seconds = _least_seconds(loop, memory.ctypes.data, memory.size // vectors.stream_bytes)
    assert 0.2e9 < memory.size / seconds < 1e12
