"""The kernel log of oneDNN and MKL: switched on, caught, and added up by kernel."""

from __future__ import annotations

__all__ = ["add_up", "captured_stdout", "kernel_log"]

import ctypes
import os
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from math import fsum
from typing import Any

import msgspec

from amx_suite.core.evidence import KernelUse
from amx_suite.files import memory_file

_STDOUT = 1


def kernel_log(run: Callable[[], Any]) -> str:
    """Call ``run`` with the logs of every copy of oneDNN and of PyTorch's MKL on; returns both.

    Never while timing: each kernel then takes its own time and writes a line.
    """
    import torch

    # Looked up at each call: an extension with its own oneDNN replaces it by a switch for both.
    onednn: Any = torch.backends.mkldnn
    mkl: Any = torch.backends.mkl
    products = mkl.verbose(mkl.VERBOSE_ON) if mkl.is_available() else nullcontext()
    with captured_stdout() as caught, onednn.verbose(onednn.VERBOSE_ON), products:
        run()
    return caught[0]


def add_up(executions: Iterable[KernelUse]) -> tuple[KernelUse, ...]:
    """Executions of the same kernel and data type added up, slowest first."""
    same: dict[KernelUse, list[KernelUse]] = defaultdict(list)
    for use in executions:
        kernel = msgspec.structs.replace(use, count=1, milliseconds=0.0, operations=0)
        same[kernel].append(use)
    found = [
        msgspec.structs.replace(
            kernel,
            count=sum(use.count for use in uses),
            milliseconds=fsum(use.milliseconds for use in uses),
            operations=sum(use.operations for use in uses),
        )
        for kernel, uses in same.items()
    ]
    return tuple(sorted(found, key=lambda use: -use.milliseconds))


@contextmanager
def captured_stdout() -> Iterator[list[str]]:
    """Send descriptor 1 to a file in memory; afterwards the one list item is what it holds.

    Libraries in C write their logs to the descriptor, beneath Python's ``sys.stdout``. A file and
    not a pipe: a long log cannot block the writer. In memory: on a full disk the log would lack
    lines, and the kernels in them would count as not used.
    """
    caught: list[str] = []
    _flush()
    saved = os.dup(_STDOUT)
    try:
        with memory_file() as file:
            os.dup2(file.fileno(), _STDOUT)
            try:
                yield caught
            finally:
                _flush()
                os.dup2(saved, _STDOUT)
            file.seek(0)
            caught.append(file.read().decode(errors="replace"))
    finally:
        os.close(saved)


def _flush() -> None:
    """Write out Python's and C's own buffers."""
    sys.stdout.flush()
    ctypes.CDLL(None).fflush(None)
