"""Floor 1: the software stacks that prepare a model, one file and one row each."""

from __future__ import annotations

__all__ = ["ARBITER", "ENGINES", "engine", "engine_for"]

from amx_suite.core.case import Precision
from amx_suite.engines.arbiter import Arbiter
from amx_suite.engines.base import Engine, ask_engine
from amx_suite.engines.eager import Eager
from amx_suite.engines.inductor import Inductor
from amx_suite.engines.ipex import Ipex
from amx_suite.errors import UnknownNameError
from amx_suite.extensions import extended

_BUILT_IN: dict[str, Engine] = {
    "ipex": Ipex(),
    "eager": Eager(),
    "inductor": Inductor(),
}

#: Every engine that a trial can use. A new engine is one file and one row above, or a package with
#: an entry point in the group ``amx_suite.engines``.
ENGINES: dict[str, Engine] = extended("engine", _BUILT_IN, Engine, ask_engine)

#: Computes the FP64 results that all arms are judged against. It is no row of the table, so no
#: trial can time it, and it is no part of any engine, so no engine is judged by its own kernels.
ARBITER: Engine = Arbiter()


def engine(name: str) -> Engine:
    """The engine of that name; raises UnknownNameError."""
    try:
        return ENGINES[name]
    except KeyError:
        raise UnknownNameError("engine", name, ENGINES) from None


def engine_for(name: str, precision: Precision) -> Engine:
    """The engine that computes this precision: the arbiter for FP64, else the one named.

    Raises UnknownNameError for a name that is in no row, whatever the precision.
    """
    named = engine(name)
    return ARBITER if precision is Precision.FP64 else named
