"""The tile dot-product instructions: what each needs, what it reads, what it must give.

Sources: Intel SDM volume 2 (operands, CPUID feature flags); ``oracle`` for the results.
"""

from __future__ import annotations

__all__ = ["INSTRUCTIONS", "TileInstruction"]

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt

from amx_suite.tmul import oracle
from amx_suite.tmul.oracle import ByteTiles, WordTiles


class TileInstruction(msgspec.Struct, frozen=True):
    """One instruction ``mnemonic C, A, B``, which adds A x B to C.

    ``feature`` is the CPUID feature it needs besides AMX-TILE. The types are those of the elements;
    numpy has no BF16, so that is uint16, its bits. ``group`` elements of A meet as many of B in
    every 32-bit group. ``oracle`` computes the exact result.
    """

    mnemonic: str
    feature: str
    a_type: np.dtype[Any]
    b_type: np.dtype[Any]
    c_type: np.dtype[Any]
    group: int
    oracle: Callable[[ByteTiles, ByteTiles, WordTiles], WordTiles]

    @property
    def is_float(self) -> bool:
        """Whether C holds FP32 numbers rather than integers."""
        return self.c_type.kind == "f"

    def operations(self, rows: int, k_bytes: int, n_bytes: int) -> int:
        """Multiplications and additions of one execution on tiles of these sizes."""
        return 2 * rows * (k_bytes // 4 * self.group) * (n_bytes // 4)

    def differs(self, found: WordTiles, expected: WordTiles) -> npt.NDArray[np.bool_]:
        """Where two results (bits) are not the same; any NaN is the same as any other."""
        different: npt.NDArray[np.bool_] = found != expected
        if self.is_float:
            different &= ~(np.isnan(found.view(self.c_type)) & np.isnan(expected.view(self.c_type)))
        return different


def _bf16() -> TileInstruction:
    bf16, fp32 = np.dtype(np.uint16), np.dtype(np.float32)
    return TileInstruction("tdpbf16ps", "AMX-BF16", bf16, bf16, fp32, 2, oracle.tdpbf16ps)


def _fp16(mnemonic: str, feature: str, model: Callable[..., WordTiles]) -> TileInstruction:
    fp16, fp32 = np.dtype(np.float16), np.dtype(np.float32)
    return TileInstruction(mnemonic, feature, fp16, fp16, fp32, 2, model)


def _int8(mnemonic: str, a: Any, b: Any, model: Callable[..., WordTiles]) -> TileInstruction:
    int32 = np.dtype(np.int32)
    return TileInstruction(mnemonic, "AMX-INT8", np.dtype(a), np.dtype(b), int32, 4, model)


#: By mnemonic.
INSTRUCTIONS: dict[str, TileInstruction] = {
    row.mnemonic: row
    for row in (
        _bf16(),
        _int8("tdpbssd", np.int8, np.int8, oracle.tdpbssd),
        _int8("tdpbsud", np.int8, np.uint8, oracle.tdpbsud),
        _int8("tdpbusd", np.uint8, np.int8, oracle.tdpbusd),
        _int8("tdpbuud", np.uint8, np.uint8, oracle.tdpbuud),
        _fp16("tdpfp16ps", "AMX-FP16", oracle.tdpfp16ps),
        _fp16("tcmmimfp16ps", "AMX-COMPLEX", oracle.tcmmimfp16ps),
        _fp16("tcmmrlfp16ps", "AMX-COMPLEX", oracle.tcmmrlfp16ps),
    )
}
