"""How many operations a logged matrix product has, by its problem description.

A product of M x K by K x N has M * N sums of K products, 2 * M * N * K operations. Backward passes
have as many as the forward pass. Source of the notation: oneDNN,
tests/benchdnn/doc/knobs_prb.md of each driver; of MKL's calls: BLAS (m, n and k after the
transpositions).
"""

from __future__ import annotations

__all__ = ["blas_operations", "onednn_operations"]

import math
import re

_DIMENSION = re.compile(r"([a-z]+)(\d+)")
#: Output positions of a convolution; of a deconvolution they are the input's.
_OUTPUT, _INPUT = ("od", "oh", "ow"), ("id", "ih", "iw")
_GEMM = re.compile(r"[A-Z0-9]*GEMM\w*\([A-Z],[A-Z],(\d+),(\d+),(\d+),")


def onednn_operations(kind: str, problem: str) -> int:
    """Operations of a primitive of oneDNN; 0 for a kind without products, or unknown notation."""
    if kind == "matmul":
        return _matmul(problem)
    sizes = {name: int(value) for name, value in _DIMENSION.findall(problem.replace("_", ""))}
    try:
        if kind == "inner_product":
            spatial = [sizes.get(name, 1) for name in _INPUT]
            return 2 * sizes["mb"] * sizes["oc"] * sizes["ic"] * math.prod(spatial)
        if kind in ("convolution", "deconvolution"):
            positions = _OUTPUT if kind == "convolution" else _INPUT
            window = ("kd", "kh", "kw")
            products = math.prod(sizes.get(name, 1) for name in (*positions, *window))
            channels = sizes["oc"] * sizes["ic"] // sizes.get("g", 1)
            return 2 * sizes["mb"] * channels * products
    except KeyError:
        pass
    return 0


def _matmul(problem: str) -> int:
    """``16x768:768x3072``; dimensions before the last two are batches, which may be broadcast."""
    operands = [
        [int(size) for size in operand.split("x") if size.isdecimal()]
        for operand in problem.split("_")[0].split(":")[:2]
    ]
    if len(operands) != 2 or any(len(sizes) < 2 for sizes in operands):
        return 0
    (*batch, rows, inner), (*other_batch, _, columns) = operands
    batches = max(math.prod(batch), math.prod(other_batch))
    return 2 * batches * rows * inner * columns


def blas_operations(call: str) -> int:
    """Operations of a call in MKL's log such as ``SGEMM(T,N,3072,64,768,...)``; 0 if unknown.

    A batched call logs addresses in place of its sizes.
    """
    match = _GEMM.match(call)
    return 2 * math.prod(int(size) for size in match.groups()) if match else 0
