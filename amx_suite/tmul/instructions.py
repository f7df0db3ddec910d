"""The tile dot-product instructions: what each needs, its elements, and its oracle.

Sources: Intel SDM volume 2 (operands, CPUID feature flags); ``oracle`` for the results.
"""

from __future__ import annotations

__all__ = ["INSTRUCTIONS", "Element", "TileInstruction"]

from enum import StrEnum

import msgspec
import numpy as np
import numpy.typing as npt

from amx_suite.tmul import oracle
from amx_suite.tmul.oracle import Oracle, WordTiles


class Element(StrEnum):
    """What an instruction multiplies."""

    BF16 = "bf16"
    FP16 = "fp16"
    INT8 = "int8"


class TileInstruction(msgspec.Struct, frozen=True):
    """One instruction ``mnemonic C, A, B``, which adds A x B to C.

    ``feature`` is the CPUID feature it needs besides AMX-TILE. ``oracle`` computes the exact
    result. C holds FP32 numbers, or 32-bit integers for INT8.
    """

    mnemonic: str
    feature: str
    element: Element
    oracle: Oracle

    @property
    def is_float(self) -> bool:
        """Whether C holds FP32 numbers rather than integers."""
        return self.element is not Element.INT8

    @property
    def group(self) -> int:
        """Elements of A, and of B, in 32 bits."""
        return 2 if self.is_float else 4

    def operations(self, rows: int, k_bytes: int, n_bytes: int) -> int:
        """Multiplications and additions of one execution on tiles of these sizes."""
        return 2 * rows * (k_bytes // 4 * self.group) * (n_bytes // 4)

    def differs(self, found: WordTiles, expected: WordTiles) -> npt.NDArray[np.bool_]:
        """Where two results (bits) are not the same; any NaN is the same as any other."""
        different: npt.NDArray[np.bool_] = found != expected
        if self.is_float:
            both_nan = np.isnan(found.view(np.float32)) & np.isnan(expected.view(np.float32))
            different &= ~both_nan
        return different


#: Pairs are (real, imaginary). The even accumulator sums imaginary(A) x real(B), the odd one
#: real(A) x imaginary(B).
_IMAGINARY_PARTS = oracle.pairs(oracle.from_fp16, lambda a: a[..., ::-1])
#: The even accumulator sums real(A) x real(B), the odd one -imaginary(A) x imaginary(B).
_REAL_PARTS = oracle.pairs(oracle.from_fp16, lambda a: a * [1.0, -1.0])

#: By mnemonic.
INSTRUCTIONS: dict[str, TileInstruction] = {
    mnemonic: TileInstruction(mnemonic, feature, element, model)
    for mnemonic, feature, element, model in (
        ("tdpbf16ps", "AMX-BF16", Element.BF16, oracle.pairs(oracle.from_bf16)),
        ("tdpbssd", "AMX-INT8", Element.INT8, oracle.integers(np.int8, np.int8)),
        ("tdpbsud", "AMX-INT8", Element.INT8, oracle.integers(np.int8, np.uint8)),
        ("tdpbusd", "AMX-INT8", Element.INT8, oracle.integers(np.uint8, np.int8)),
        ("tdpbuud", "AMX-INT8", Element.INT8, oracle.integers(np.uint8, np.uint8)),
        ("tdpfp16ps", "AMX-FP16", Element.FP16, oracle.pairs(oracle.from_fp16)),
        ("tcmmimfp16ps", "AMX-COMPLEX", Element.FP16, _IMAGINARY_PARTS),
        ("tcmmrlfp16ps", "AMX-COMPLEX", Element.FP16, _REAL_PARTS),
    )
}
