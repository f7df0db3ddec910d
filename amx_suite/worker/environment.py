"""The environment a child starts with: what the case says, and nothing inherited unnoticed."""

from __future__ import annotations

__all__ = ["ChildEnvironment", "child_environment"]

from collections.abc import Mapping

import msgspec

from amx_suite.core.isa import Isa

#: Variables of these families steer numerics, instruction sets, threads or compilers: a case sets
#: its own, and the user's must not leak in. Sources: the manuals of oneDNN, oneMKL, OpenMP runtimes
#: and ATen; torch/_dynamo/config.py and torch/_inductor/config.py.
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
    """A child's variables.

    ``variables`` are all of them, ``chosen`` those that the case set, and ``removed`` the user's
    own values of owned variables, for the record.
    """

    variables: dict[str, str]
    chosen: dict[str, str]
    removed: dict[str, str]


def child_environment(
    isa: Isa, threads: int, inherited: Mapping[str, str], engine: Mapping[str, str]
) -> ChildEnvironment:
    """The environment of a child under a ceiling with this number of compute threads.

    Each library reads the ceiling from a variable of its own; ``engine`` holds those of the
    engine's libraries.
    """
    spec = isa.spec
    chosen = {
        "ONEDNN_MAX_CPU_ISA": spec.onednn,
        "MKL_ENABLE_INSTRUCTIONS": spec.mkl,
        # Any other mode lets FP32 products run as BF16.
        "ONEDNN_DEFAULT_FPMATH_MODE": "STRICT",
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        # A thread that waits must not spin, or it slows the next arm's slice.
        "OMP_WAIT_POLICY": "PASSIVE",
        "KMP_BLOCKTIME": "0",
        # With more, importing PyTorch's quantization starts compile processes beside every arm.
        "TORCHINDUCTOR_COMPILE_THREADS": "1",
        **engine,
    }
    owned = {name for name in inherited if name in _OWNED_NAMES or name.startswith(_OWNED_PREFIXES)}
    kept = {name: value for name, value in inherited.items() if name not in owned}
    removed = {name: inherited[name] for name in sorted(owned)}
    return ChildEnvironment({**kept, **chosen}, chosen, removed)
