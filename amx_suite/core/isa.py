"""Instruction-set ceilings: what a process may use, and each library's name for it."""

from __future__ import annotations

__all__ = ["AMX_FLAGS", "ISA_SPECS", "Isa", "IsaSpec"]

from collections.abc import Collection
from enum import StrEnum

import msgspec


class Isa(StrEnum):
    """A ceiling: the most capable instruction set a process may use.

    NO_AMX is all that a CPU has for FP32 but AMX, so it is another one on each CPU (``on``), under
    one name.
    """

    NO_AMX = "no_amx"
    AVX2 = "avx2"
    AVX512 = "avx512"
    AVX512_VNNI = "avx512_vnni"
    AVX512_BF16 = "avx512_bf16"
    AVX512_FP16 = "avx512_fp16"
    AMX = "amx"
    AMX_FP16 = "amx_fp16"

    @property
    def spec(self) -> IsaSpec:
        """Its names and needs."""
        return ISA_SPECS[self]

    def on(self, cpu_flags: Collection[str]) -> Isa:
        """Itself, and for NO_AMX the highest that a CPU with the flags has.

        That is of those without tiles that are ``for_fp32``; AVX2 if it has none.
        """
        if self is not Isa.NO_AMX:
            return self
        found = [
            isa
            for isa, spec in ISA_SPECS.items()
            if not spec.tiles and spec.for_fp32 and isa is not self and isa.runs_on(cpu_flags)
        ]
        return found[-1] if found else Isa.AVX2

    def runs_on(self, cpu_flags: Collection[str]) -> bool:
        """Whether a CPU with these flags of /proc/cpuinfo has all that the ceiling needs."""
        return set(self.spec.cpu_flags) <= set(cpu_flags)

    @property
    def allows_amx(self) -> bool:
        """Whether tile instructions may run; otherwise the process is jailed."""
        return self.spec.tiles


class IsaSpec(msgspec.Struct, frozen=True):
    """One ceiling, named as in each library.

    Sources: ``onednn`` oneDNN dispatcher_control.md; ``aten`` IPEX csrc/cpu/dyndisp (stock PyTorch
    knows only ``default``, ``avx2`` and ``avx512``); ``mkl`` oneMKL developer guide,
    MKL_ENABLE_INSTRUCTIONS (E4 includes AMX, E3 is BF16 without, E2 is VNNI). ``vectors`` is the
    nearest level that stock PyTorch has a name for. ``cpu_flags`` are the flags in /proc/cpuinfo
    that the ceiling needs, and ``tiles`` says whether tile instructions may run under it. NO_AMX is
    FP32's, and ``for_fp32`` says whether it may be this one.
    """

    onednn: str
    aten: str
    mkl: str
    cpu_flags: tuple[str, ...]
    vectors: str = "avx512"
    tiles: bool = False
    for_fp32: bool = True


#: What every CPU with AMX has.
AMX_FLAGS = ("amx_tile", "amx_bf16", "amx_int8")
_AVX512_FLAGS = ("avx512f", "avx512bw", "avx512vl", "avx512dq")
_BF16_FLAGS = (*_AVX512_FLAGS, "avx512_vnni", "avx512_bf16")
_FP16_FLAGS = (*_BF16_FLAGS, "avx512_fp16")

_AVX2 = IsaSpec("AVX2", "avx2", "AVX2", ("avx2", "fma"), vectors="avx2")

#: The lowest first.
ISA_SPECS: dict[Isa, IsaSpec] = {
    # What it needs at least; its names are those of the ceiling that it is on a CPU.
    Isa.NO_AMX: _AVX2,
    Isa.AVX2: _AVX2,
    Isa.AVX512: IsaSpec("AVX512_CORE", "avx512", "AVX512", _AVX512_FLAGS),
    Isa.AVX512_VNNI: IsaSpec(
        "AVX512_CORE_VNNI", "avx512_vnni", "AVX512_E2", (*_AVX512_FLAGS, "avx512_vnni")
    ),
    Isa.AVX512_BF16: IsaSpec("AVX512_CORE_BF16", "avx512_bf16", "AVX512_E3", _BF16_FLAGS),
    # IPEX's level of that name is above its amx, and MKL has FP16 with AMX only. So IPEX gives its
    # own oneDNN another level than PyTorch's. In FP32 oneDNN runs the same kernels as below it.
    Isa.AVX512_FP16: IsaSpec(
        "AVX512_CORE_FP16", "avx512_bf16", "AVX512_E3", _FP16_FLAGS, for_fp32=False
    ),
    Isa.AMX: IsaSpec("DEFAULT", "amx", "AVX512_E4", (*_BF16_FLAGS, *AMX_FLAGS), tiles=True),
    Isa.AMX_FP16: IsaSpec(
        "AVX512_CORE_AMX_FP16",
        "amx",
        "AVX512_E5",
        (*_FP16_FLAGS, *AMX_FLAGS, "amx_fp16"),
        tiles=True,
    ),
}
