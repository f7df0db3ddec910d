"""MKL's verbose log: the products of stock PyTorch that oneDNN's log cannot show.

FP32 products and those of PyTorch's own attention are MKL's. Line formats (oneMKL developer guide,
"Using oneMKL Verbose Mode"), the first once in a process::

    MKL_VERBOSE oneMKL VERSION ... for Intel(R) 64 architecture INSTRUCTIONS, Lnx ...
    MKL_VERBOSE ROUTINE(ARGUMENTS) TIME CNR:... Dyn:... FastMM:... TID:n  NThr:n

The log names no implementation, so no call of MKL counts as AMX.
"""

from __future__ import annotations

__all__ = ["mkl_exceeds", "mkl_kernels", "mkl_level"]

import re
from collections.abc import Iterator

from amx_suite.core.evidence import Family, KernelUse
from amx_suite.worker.operations import blas_operations

_ANNOUNCEMENT = re.compile(r"MKL_VERBOSE .* for Intel\(R\) 64 architecture (.+?), (?:Lnx|Win)")
#: Other text may come before a call in the same line, even the start of another call.
_CALL = re.compile(
    r"MKL_VERBOSE (([A-Z0-9_]+)\([^()]*\)) ([0-9.]+)(ns|us|ms|s) [^\n]*?\bNThr:([0-9]+)"
)
_MILLISECONDS = {"ns": 1e-6, "us": 1e-3, "ms": 1.0, "s": 1e3}
#: A product's routine and the type of its factors, as BLAS names them.
_TYPES = {
    "GEMM_BF16BF16F32": "bf16",
    "GEMM_F16F16F32": "f16",
    "HGEMM": "f16",
    "GEMM_S8U8S32": "s8",
    "SGEMM": "f32",
    "DGEMM": "f64",
}
_NO_PRODUCT = re.compile(r"_(?:PACK|ALLOC|FREE)")
#: MKL's levels as MKL_ENABLE_INSTRUCTIONS calls them, lowest first, and the words that are in the
#: announcement of this level and of none below (strings of oneMKL 2024).
_LEVELS = {
    "AVX2": "Advanced Vector Extensions 2",
    "AVX2_E1": "AVX-2) with support of Intel(R) Deep Learning Boost",
    "AVX512": "Advanced Vector Extensions 512",
    "AVX512_E1": "AVX-512) with support of Intel(R) Deep Learning Boost",
    "AVX512_E2": "EVEX-encoded AES",
    "AVX512_E3": "bfloat16",
    "AVX512_E4": "FP16 (limited)",
    "AVX512_E5": "with INT8, BF16, and FP16",
}
_ORDER = list(_LEVELS)


def mkl_kernels(text: str, threads: int) -> Iterator[KernelUse]:
    """Each call in the log of a process with this number of compute threads.

    Calls that run side by side, each on some of the threads, each log their own time. A call counts
    with its share of the threads, so that the sum does not exceed the clock's time.
    """
    for call, routine, time, unit, used in _CALL.findall(text):
        product = "GEMM" in routine and not _NO_PRODUCT.search(routine)
        yield KernelUse(
            "matmul" if product else "blas",
            f"mkl:{routine.lower()}",
            Family.UNNAMED,
            1,
            float(time) * _MILLISECONDS[unit] * min(1.0, int(used) / threads),
            next((name for product, name in _TYPES.items() if product in routine), ""),
            blas_operations(call) if product else 0,
        )


def mkl_level(text: str) -> str:
    """The level that the log announces, or its own words where these name none.

    On CPUs of other vendors MKL announces nothing above SSE, whatever its ceiling.
    """
    if (match := _ANNOUNCEMENT.search(text)) is None:
        return "not built in"
    return next((level for level in reversed(_ORDER) if _LEVELS[level] in match[1]), match[1])


def mkl_exceeds(level: str, ceiling: str) -> bool:
    """Whether a level is above a ceiling; words that name no level are above none."""
    return level in _ORDER and _ORDER.index(level) > _ORDER.index(ceiling)
