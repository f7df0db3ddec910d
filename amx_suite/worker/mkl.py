"""MKL's verbose log, read into kernel uses: what oneDNN's log cannot see of stock PyTorch.

FP32 products and those of PyTorch's own attention are MKL's. Line formats (oneMKL developer guide,
"Using oneMKL Verbose Mode"), the first once in a process::

    MKL_VERBOSE oneMKL VERSION ... for Intel(R) 64 architecture INSTRUCTIONS, Lnx ...
    MKL_VERBOSE ROUTINE(ARGUMENTS) TIME CNR:... Dyn:... FastMM:... TID:n  NThr:n

The log names no implementation, so no call of MKL counts as AMX.
"""

from __future__ import annotations

__all__ = ["MklLog", "mkl_exceeds", "mkl_level", "parse_mkl"]

import math
import re
from collections import defaultdict

import msgspec

from amx_suite.core.evidence import Family, KernelUse

_ANNOUNCEMENT = re.compile(r"MKL_VERBOSE .* for Intel\(R\) 64 architecture (.+?), (?:Lnx|Win)")
#: The last start in a line is taken, as other text may come before it.
_CALL = re.compile(
    r"MKL_VERBOSE ([A-Z0-9_]+)\([^()]*\) ([0-9.]+)(ns|us|ms|s) [^\n]*?\bNThr:([0-9]+)"
)
_MILLISECONDS = {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "s": 1e3}
#: A product's routine and the type of its factors, as BLAS names them; packing multiplies nothing.
_TYPES = (
    (re.compile(r"GEMM_BF16BF16F32"), "bf16"),
    (re.compile(r"GEMM_F16F16F32|HGEMM"), "f16"),
    (re.compile(r"GEMM_S8U8S32"), "s8"),
    (re.compile(r"SGEMM"), "f32"),
    (re.compile(r"DGEMM"), "f64"),
)
_NO_PRODUCT = re.compile(r"_(?:PACK|ALLOC|FREE)")
#: What MKL calls each of its levels, as MKL_ENABLE_INSTRUCTIONS does, lowest first; the words that
#: are in the announcement of that level and none below (strings of oneMKL 2024).
_LEVELS = (
    ("AVX2", "Advanced Vector Extensions 2"),
    ("AVX2_E1", "AVX-2) with support of Intel(R) Deep Learning Boost"),
    ("AVX512", "Advanced Vector Extensions 512"),
    ("AVX512_E1", "AVX-512) with support of Intel(R) Deep Learning Boost"),
    ("AVX512_E2", "EVEX-encoded AES"),
    ("AVX512_E3", "bfloat16"),
    ("AVX512_E4", "FP16 (limited)"),
    ("AVX512_E5", "with INT8, BF16, and FP16"),
)


class MklLog(msgspec.Struct, frozen=True):
    """What a log says: the instructions that MKL announces (or nothing), and its calls."""

    announced: str
    kernels: tuple[KernelUse, ...]


def parse_mkl(text: str, threads: int) -> MklLog:
    """Read a log of a process with that many compute threads.

    Calls that run side by side, each on some of the threads, each log their own time; a call counts
    with its share of the threads, so that their sum is not above the clock's.
    """
    announced = _ANNOUNCEMENT.search(text)
    uses: dict[tuple[str, str, str], list[float]] = defaultdict(list)
    for routine, time, unit, used in _CALL.findall(text):
        share = min(1.0, int(used) / threads)
        uses[_kind(routine), f"mkl:{routine.lower()}", _type(routine)].append(
            float(time) * _MILLISECONDS[unit] * share
        )
    kernels = tuple(
        KernelUse(kind, name, Family.UNNAMED, len(times), math.fsum(times), data_type)
        for (kind, name, data_type), times in uses.items()
    )
    return MklLog(announced[1] if announced else "", kernels)


def mkl_level(announced: str) -> str:
    """The level in MKL's own word for it, or the announcement where it names none.

    On CPUs of other vendors MKL announces nothing above SSE, whatever it was told.
    """
    found = [level for level, words in _LEVELS if words in announced]
    return found[-1] if found else announced


def mkl_exceeds(level: str, ceiling: str) -> bool:
    """Whether a level is above a ceiling; what names no level is above none."""
    order = [name for name, _ in _LEVELS]
    return level in order and order.index(level) > order.index(ceiling)


def _kind(routine: str) -> str:
    return "matmul" if "GEMM" in routine and not _NO_PRODUCT.search(routine) else "blas"


def _type(routine: str) -> str:
    return next((name for pattern, name in _TYPES if pattern.search(routine)), "")
