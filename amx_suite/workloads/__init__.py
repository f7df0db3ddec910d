"""Floor 1: the models that are measured, one file and one row each."""

from __future__ import annotations

__all__ = ["WORKLOADS", "workload"]

from amx_suite.errors import UnknownNameError
from amx_suite.extensions import extended
from amx_suite.workloads.base import ModelWorkload, ask_workload
from amx_suite.workloads.bert import Bert
from amx_suite.workloads.gemm import Gemm
from amx_suite.workloads.resnet50 import ResNet50
from amx_suite.workloads.square import Square

_BUILT_IN: dict[str, ModelWorkload] = {
    "square": Square(),
    "gemm": Gemm(),
    "resnet50": ResNet50(),
    "bert": Bert(),
}

#: Every model, the suite's own cheapest first. A new workload is one file and one row above, or a
#: package with an entry point in the group ``amx_suite.workloads``.
WORKLOADS: dict[str, ModelWorkload] = extended("workload", _BUILT_IN, ModelWorkload, ask_workload)


def workload(name: str) -> ModelWorkload:
    """The workload of that name; raises UnknownNameError."""
    try:
        return WORKLOADS[name]
    except KeyError:
        raise UnknownNameError("workload", name, WORKLOADS) from None
