"""The oracle against two other ways to the same results, on every fill.

One is exact integer arithmetic, element by element. The other is this CPU's own fused multiply-add
with DAZ, FTZ and rounding to nearest even set in MXCSR, which is how the SDM defines each step.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from exact_tiles import exact_dot

from amx_suite.tmul.fills import Operands, fill, fills_for
from amx_suite.tmul.instructions import INSTRUCTIONS, TileInstruction
from amx_suite.tmul.jit import asm_function, load

pytestmark = pytest.mark.selftest

_CASES = [(mnemonic, name) for mnemonic, row in INSTRUCTIONS.items() for name in fills_for(row)]
_FLOAT_CASES = [(mnemonic, name) for mnemonic, name in _CASES if INSTRUCTIONS[mnemonic].is_float]

_CPUINFO = Path("/proc/cpuinfo")
_HAS_FMA = (
    platform.machine() == "x86_64"
    and _CPUINFO.exists()
    and {"avx", "fma"} <= set(_CPUINFO.read_text().split())
)

#: MXCSR with all exceptions masked, DAZ (bit 6) and FTZ (bit 15), rounding to nearest even.
_MXCSR = 0x9FC0

#: sums = a x b + sums for a count of FP32 numbers. Arguments: a, b, sums, count, 8 bytes to use.
_FMA = asm_function(
    "fma",
    (
        "stmxcsr [$4]",
        f"mov dword ptr [$4 + 4], {_MXCSR}",
        "ldmxcsr [$4 + 4]",
        "xor eax, eax",
        "2:",
        "vmovss xmm0, dword ptr [$0 + rax*4]",
        "vmovss xmm1, dword ptr [$1 + rax*4]",
        "vmovss xmm2, dword ptr [$2 + rax*4]",
        "vfmadd231ss xmm2, xmm0, xmm1",
        "vmovss dword ptr [$2 + rax*4], xmm2",
        "inc rax",
        "cmp rax, $3",
        "jb 2b",
        "ldmxcsr [$4]",
    ),
    arguments=("ptr", "ptr", "ptr", "i64", "ptr"),
    clobbers=("rax", "xmm0", "xmm1", "xmm2"),
)


@pytest.mark.parametrize(("mnemonic", "name"), _CASES)
def test_exact_integers_give_the_same_bits(mnemonic: str, name: str) -> None:
    instruction = INSTRUCTIONS[mnemonic]
    rng = np.random.default_rng(len(name))
    for shape in ((1, 16, 64, 64), (4, 5, 12, 20), (8, 2, 4, 4)):
        operands = fill(name, instruction, rng, *shape)
        found = instruction.oracle(*operands)
        assert not instruction.differs(found, exact_dot(mnemonic, *operands)).any()


def _widened(instruction: TileInstruction, tiles: np.ndarray) -> np.ndarray:
    """FP32 numbers [batch, rows, groups, 2]; BF16 denormals become FP32 denormals."""
    if instruction.a_type == np.float16:
        values = tiles.view(np.float16).astype(np.float32)
    else:
        values = (tiles.view(np.uint16).astype(np.uint32) << 16).view(np.float32)
    return values.reshape(*tiles.shape[:2], -1, 2)


_Fma = Callable[[np.ndarray, np.ndarray, np.ndarray], None]


def _dot_by_fma(fma: _Fma, instruction: TileInstruction, operands: Operands) -> np.ndarray:
    a, b = (_widened(instruction, tiles) for tiles in (operands.a, operands.b))
    sums = [np.zeros(operands.c.shape, np.float32) for _ in range(2)]
    in_a = (1, 0) if instruction.mnemonic == "tcmmimfp16ps" else (0, 1)
    if instruction.mnemonic == "tcmmrlfp16ps":
        a[..., 1] = -a[..., 1]
    for k in range(a.shape[2]):
        for half in range(2):
            fma(a[:, :, None, k, in_a[half]], b[:, None, k, :, half], sums[half])
    one = np.float32(1).reshape(1, 1, 1)
    fma(one, sums[0], sums[1])
    result = operands.c.view(np.float32).copy()
    fma(one, sums[1], result)
    return result.view(np.uint32)


@pytest.fixture(scope="module")
def fma() -> _Fma:
    routine = load(_FMA, features=("avx", "fma")).function(
        "fma", *[ctypes.c_void_p] * 3, ctypes.c_int64, ctypes.c_void_p
    )
    scratch = (ctypes.c_uint32 * 2)()

    def run(a: np.ndarray, b: np.ndarray, sums: np.ndarray) -> None:
        left, right = (np.ascontiguousarray(np.broadcast_to(x, sums.shape)) for x in (a, b))
        routine(left.ctypes.data, right.ctypes.data, sums.ctypes.data, sums.size, scratch)

    return run


@pytest.mark.skipif(not _HAS_FMA, reason="needs an x86-64 CPU with FMA")
@pytest.mark.parametrize(("mnemonic", "name"), _FLOAT_CASES)
def test_the_cpus_own_fma_gives_the_same_bits(mnemonic: str, name: str, fma: _Fma) -> None:
    instruction = INSTRUCTIONS[mnemonic]
    operands = fill(name, instruction, np.random.default_rng(2), 48, 16, 64, 64)
    found = instruction.oracle(*operands)
    assert not instruction.differs(found, _dot_by_fma(fma, instruction, operands)).any()
