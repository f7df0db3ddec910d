"""The environment a child starts with: what the case says, and nothing inherited unnoticed."""

from __future__ import annotations

__all__ = ["ChildEnvironment", "child_environment"]

from collections.abc import Mapping

import msgspec

from amx_suite.core.isa import Isa

#: Variables of these families steer numerics, instruction sets, threads or compilers, so a case
#: sets its own and never inherits the user's. Sources: the manuals of oneDNN, oneMKL, OpenMP
#: runtimes and ATen; torch/_dynamo/config.py, of which one turns compiling off without a word, and
#: torch/_inductor/config.py.
_OWNED_PREFIXES = (
    "ONEDNN_",
    "DNNL_",
    "MKL_",
    "KMP_",
    "OMP_",
    "GOMP_",
    "ATEN_",
    "IPEX_",
    "TORCHINDUCTOR_",
    "TORCHDYNAMO_",
    "TORCH_COMPILE",
)
_OWNED_NAMES = frozenset({"LD_PRELOAD", "PYTHONINSPECT"})


class ChildEnvironment(msgspec.Struct, frozen=True):
    """``variables`` is the child's whole environment; ``chosen`` the part that the case set.

    ``removed`` holds the user's own values of owned variables, for the record.
    """

    variables: dict[str, str]
    chosen: dict[str, str]
    removed: dict[str, str]


def _is_owned(name: str) -> bool:
    return name in _OWNED_NAMES or name.startswith(_OWNED_PREFIXES)


def child_environment(
    isa: Isa, threads: int, inherited: Mapping[str, str], engine: Mapping[str, str]
) -> ChildEnvironment:
    """The environment of a child under a ceiling with that many compute threads.

    Every library is told of the ceiling in its own words, since each reads only its own variable;
    ``engine`` holds those that the engine's own libraries read.
    ``ONEDNN_DEFAULT_FPMATH_MODE=STRICT`` keeps FP32 from turning into BF16. Threads that wait must
    not spin, or the next arm's slice pays for them. One inductor thread means that no pool of
    compile processes is started: importing PyTorch's quantization does so, beside every arm, on the
    CPUs that are timed.
    """
    spec = isa.spec
    chosen = {
        "ONEDNN_MAX_CPU_ISA": spec.onednn,
        "MKL_ENABLE_INSTRUCTIONS": spec.mkl,
        "ONEDNN_DEFAULT_FPMATH_MODE": "STRICT",
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "OMP_WAIT_POLICY": "PASSIVE",
        "KMP_BLOCKTIME": "0",
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
        **engine,
    }
    kept = {name: value for name, value in inherited.items() if not _is_owned(name)}
    removed = {name: value for name, value in inherited.items() if _is_owned(name)}
    return ChildEnvironment({**kept, **chosen}, chosen, removed)
