"""What provably ran in one arm."""

from __future__ import annotations

__all__ = ["Evidence", "Family", "Jail", "KernelUse"]

from enum import StrEnum

import msgspec

from amx_suite.core.isa import Isa


class Jail(StrEnum):
    """Whether the kernel was told to refuse the tile permission to this process."""

    HELD = "held"
    UNAVAILABLE = "unavailable"
    NOT_ASKED = "not asked"


class Family(StrEnum):
    """Instruction family of a oneDNN implementation, read from its name."""

    AMX = "amx"
    AVX512_FP16 = "avx512_fp16"
    AVX512_BF16 = "avx512_bf16"
    AVX512_VNNI = "avx512_vnni"
    AVX512 = "avx512"
    AVX2 = "avx2"
    REFERENCE = "reference"
    UNNAMED = "unnamed"


class KernelUse(msgspec.Struct, frozen=True):
    """Executions of one primitive kind on one implementation: count and total milliseconds."""

    kind: str
    implementation: str
    family: Family
    count: int
    milliseconds: float


class Evidence(msgspec.Struct, frozen=True):
    """Proof of what ran in one arm, taken in an untimed step.

    ``amx_permission`` is bit 18 of ARCH_GET_XCOMP_PERM read after the work: False proves that no
    instruction in the process can have used a tile. None: the kernel does not know the question.
    """

    isa: Isa
    jail: Jail
    amx_permission: bool | None
    onednn_isa: str = ""
    kernels: tuple[KernelUse, ...] = ()

    #: Primitive kinds that AMX can serve; the share is taken over these.
    MATRIX_KINDS = ("convolution", "deconvolution", "inner_product", "matmul")

    @property
    def matrix_milliseconds(self) -> float:
        """Milliseconds in matrix primitives (matmul, convolution, inner product)."""
        return sum(use.milliseconds for use in self.kernels if use.kind in self.MATRIX_KINDS)

    @property
    def amx_share(self) -> float:
        """Share of the matrix primitives' time on AMX kernels, 0 to 1; 0 if none was logged."""
        total = self.matrix_milliseconds
        if total <= 0:
            return 0.0
        amx = sum(
            use.milliseconds
            for use in self.kernels
            if use.family is Family.AMX and use.kind in self.MATRIX_KINDS
        )
        return amx / total

    @property
    def proves_no_amx(self) -> bool:
        """Whether nothing in the process can have used a tile instruction."""
        return self.amx_permission is False
