"""The software stacks that prepare a model, one file and one row each."""

from __future__ import annotations

__all__ = ["ENGINES", "REFERENCE", "engine_for"]

from amx_suite.core.precision import Precision
from amx_suite.engines.base import Engine
from amx_suite.engines.eager import Eager, Fp64Reference
from amx_suite.engines.inductor import Inductor
from amx_suite.engines.ipex import Ipex
from amx_suite.errors import UnknownNameError

#: Every engine that a trial can use; a run takes the first that is available unless the user says
#: otherwise. A new engine is one file and one row.
ENGINES: dict[str, Engine] = {
    "ipex": Ipex(),
    "inductor": Inductor(),
    "eager": Eager(),
}

#: Computes the FP64 results that all arms are judged against. It is not in the table, so no trial
#: can time it, and it is not part of an engine, so no engine is judged by its own kernels.
REFERENCE = Fp64Reference()


def engine_for(name: str, precision: Precision) -> Engine:
    """The engine that computes this precision: the FP64 reference, else the one named.

    Raises UnknownNameError for a name that is not in the table, whatever the precision.
    """
    if name not in ENGINES:
        raise UnknownNameError("engine", name, ENGINES)
    return REFERENCE if precision is Precision.FP64 else ENGINES[name]
