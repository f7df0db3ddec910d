"""The models that are measured, one file and one row each."""

from __future__ import annotations

__all__ = ["WORKLOADS", "workload"]

from amx_suite.errors import UnknownNameError
from amx_suite.workloads.base import ModelWorkload
from amx_suite.workloads.bert import Bert
from amx_suite.workloads.gemm import Gemm, Square
from amx_suite.workloads.resnet50 import ResNet50

#: Every model, the cheapest first. A new workload is one file and one row.
WORKLOADS: dict[str, ModelWorkload] = {
    "square": Square(),
    "gemm": Gemm(),
    "resnet50": ResNet50(),
    "bert": Bert(),
}


def workload(name: str) -> ModelWorkload:
    """The workload of that name; raises UnknownNameError."""
    if name not in WORKLOADS:
        raise UnknownNameError("workload", name, WORKLOADS)
    return WORKLOADS[name]
