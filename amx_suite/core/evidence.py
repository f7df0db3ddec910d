"""What provably ran in one arm."""

from __future__ import annotations

__all__ = ["Evidence", "Family", "Jail", "KernelUse"]

from enum import StrEnum

import msgspec

from amx_suite.core.isa import Isa
from amx_suite.core.units import Count, Duration, Natural, Share


class Jail(StrEnum):
    """Whether a filter makes the kernel refuse this process the tile permission."""

    HELD = "held"
    UNAVAILABLE = "unavailable"
    NOT_ASKED = "not asked"


class Family(StrEnum):
    """Instruction family of an implementation, read from its name; MKL's are unnamed."""

    AMX = "amx"
    AVX512_FP16 = "avx512_fp16"
    AVX512_BF16 = "avx512_bf16"
    AVX512_VNNI = "avx512_vnni"
    AVX512 = "avx512"
    AVX2 = "avx2"
    REFERENCE = "reference"
    UNNAMED = "unnamed"

    @property
    def isa(self) -> str:
        """``AMX``, ``AVX-512``, or ``other``, where also belongs what the log does not tell."""
        if self is Family.AMX:
            return "AMX"
        return "AVX-512" if self.startswith("avx512") else "other"


class KernelUse(msgspec.Struct, frozen=True):
    """Executions of one primitive kind on one implementation: count and total milliseconds.

    A routine of MKL is an implementation of ``matmul``, such as ``mkl:sgemm``. ``data_type`` is the
    source operand's in oneDNN's words (``f32``, ``bf16``, ``u8``), with ``/fpm:MODE`` behind it
    where a lower math mode was allowed; empty where the log does not say. ``operations`` are the
    multiplications and additions of all the executions, by the sizes in the log; 0 where it does
    not name them.
    """

    kind: str
    implementation: str
    family: Family
    count: Count
    milliseconds: Duration
    data_type: str = ""
    operations: Natural = 0

    @property
    def names_kernel(self) -> bool:
        """Whether the log says which implementation ran.

        MKL's log names a routine only, and oneDNN's lines of microkernels and GEMM calls nothing.
        """
        return bool(self.implementation) and not self.implementation.startswith("mkl:")

    def __str__(self) -> str:
        return " ".join(filter(None, (self.kind, self.implementation, self.data_type)))


class Evidence(msgspec.Struct, frozen=True):
    """Proof of what ran in one arm, taken in an untimed step.

    ``isa`` is the ceiling, for NO_AMX the one that it is on this CPU.
    ``amx_permission`` is bit 18 of ARCH_GET_XCOMP_PERM, read after the work. False proves that no
    instruction in the process used a tile; so does XCR0 without the tile state, where the kernel
    does not know the request. None means that neither says.
    ``operations`` are those of a step's matrix products, as PyTorch counts them in the model.
    ``step_milliseconds`` is the wall time of the evidence step, logging included. ``read_back``
    maps each library to the ceiling that it reports. ``cpus`` are those on which the compute
    threads ran, ``memory_share`` the share of the process's anonymous memory on their NUMA node
    (None if unknown), ``speculation`` what the kernel forbids the process to speculate on.
    """

    isa: Isa
    jail: Jail
    amx_permission: bool | None
    onednn_isa: str = ""
    kernels: tuple[KernelUse, ...] = ()
    operations: Natural = 0
    step_milliseconds: Duration = 0.0
    read_back: dict[str, str] = {}
    cpus: tuple[int, ...] = ()
    memory_share: Share | None = None
    speculation: dict[str, str] = {}

    #: Primitive kinds that can run on AMX; ``amx_share`` is taken over these.
    MATRIX_KINDS = ("convolution", "deconvolution", "inner_product", "matmul")

    @property
    def matrix_kernels(self) -> tuple[KernelUse, ...]:
        """The kernels of matrix primitives, those with the most operations first."""
        found = [use for use in self.kernels if use.kind in self.MATRIX_KINDS]
        return tuple(sorted(found, key=lambda use: -use.operations))

    @property
    def primitives(self) -> tuple[KernelUse, ...]:
        """All uses but executions of oneDNN Graph: the log has the primitives inside them too."""
        return tuple(use for use in self.kernels if not use.kind.startswith("graph:"))

    @property
    def slowest(self) -> tuple[KernelUse, ...]:
        """The primitives, those that took the most time first."""
        return tuple(sorted(self.primitives, key=lambda use: -use.milliseconds))

    @property
    def unseen_share(self) -> float:
        """Share of the step's wall time in no primitive, 0 to 1: Python and other libraries."""
        if self.step_milliseconds <= 0:
            return 0.0
        seen = sum(use.milliseconds for use in self.primitives)
        return max(0.0, 1.0 - seen / self.step_milliseconds)

    @property
    def logged_operations(self) -> int:
        """Operations of the matrix products that the log holds."""
        return sum(use.operations for use in self.matrix_kernels)

    @property
    def amx_share(self) -> float:
        """Share of the model's operations that AMX kernels did, 0 to 1; 0 if they were not counted.

        Never a share of time: a product that is logged within a parallel region has an inflated
        one, and what the log does not hold has none.
        """
        if not self.operations:
            return 0.0
        amx = sum(use.operations for use in self.matrix_kernels if use.family is Family.AMX)
        return amx / self.operations
