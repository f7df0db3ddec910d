"""The number formats of matrix products, one row each.

A new precision is a value of ``Precision``, a row here, and a row of its tolerances in
``accuracy.limits``; arms, evidence, engines and conformance tests follow from these. A new ceiling
is a row in ``core.isa``.
"""

from __future__ import annotations

__all__ = ["PRECISIONS", "Precision", "PrecisionSpec"]

from enum import StrEnum

import msgspec

from amx_suite.core.isa import Isa
from amx_suite.core.units import Unit


class Precision(StrEnum):
    """The number format of matrix products; FP64 is the reference of accuracy, never timed."""

    FP64 = "fp64"
    FP32 = "fp32"
    BF16 = "bf16"
    INT8 = "int8"
    FP16 = "fp16"

    @property
    def spec(self) -> PrecisionSpec:
        """Its row of ``PRECISIONS``."""
        return PRECISIONS[self]


class PrecisionSpec(msgspec.Struct, frozen=True):
    """What trials, evidence and engines need to know about a format.

    ``without_amx`` and ``with_amx`` are the ceilings of its arms, None where it has no such arm.
    ``operand_types`` are oneDNN's names for the type of a product's source operand. ``unit``
    computes its products under its highest ceiling. ``autocast`` is the type of PyTorch's autocast,
    empty where none is used. A CPU below ``without_amx`` has one more arm under ``stand_in``, whose
    speed and proof are shown, and whose accuracy is not judged.
    """

    without_amx: Isa | None
    with_amx: Isa | None
    operand_types: tuple[str, ...]
    unit: Unit | None
    autocast: str = ""
    is_quantized: bool = False
    trains: bool = True
    stand_in: Isa | None = None

    @property
    def isas(self) -> tuple[Isa, ...]:
        """The ceilings of its arms, lowest first."""
        return tuple(isa for isa in (self.without_amx, self.with_amx) if isa is not None)


PRECISIONS: dict[Precision, PrecisionSpec] = {
    Precision.FP64: PrecisionSpec(None, None, ("f64",), None),
    Precision.FP32: PrecisionSpec(Isa.NO_AMX, None, ("f32",), Unit.FMA),
    Precision.BF16: PrecisionSpec(
        Isa.AVX512_BF16, Isa.AMX, ("bf16",), Unit.TILE, autocast="bfloat16"
    ),
    Precision.INT8: PrecisionSpec(
        Isa.AVX512_VNNI,
        Isa.AMX,
        ("u8", "s8"),
        Unit.TILE_INT8,
        is_quantized=True,
        trains=False,
        # Sums of two products have 16 bits there and saturate (oneDNN, "Nuances of int8
        # computations").
        stand_in=Isa.AVX2,
    ),
    # PyTorch's autocast to it is for inference on CPUs (torch.amp, "CPU Op-Specific Behavior").
    Precision.FP16: PrecisionSpec(
        Isa.AVX512_FP16, Isa.AMX_FP16, ("f16",), Unit.TILE, autocast="float16", trains=False
    ),
}
