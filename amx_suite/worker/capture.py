"""What a process writes to file descriptor 1, caught for a moment.

The logs of oneDNN and MKL are written by C code straight to the descriptor, beneath Python's
``sys.stdout``.
"""

from __future__ import annotations

__all__ = ["captured_stdout", "kernel_log"]

import ctypes
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

_STDOUT = 1


@contextmanager
def captured_stdout() -> Iterator[list[str]]:
    """Send descriptor 1 to a temporary file; afterwards the one list item is what arrived there.

    A file and not a pipe: a long log cannot block the writer. Both Python's and C's own buffers are
    written out on entering, so that nothing earlier is caught, and on leaving, so that nothing of
    this is lost. The descriptor is put back however the block ends.
    """
    caught: list[str] = []
    libc = ctypes.CDLL(None)
    _flush(libc)
    saved = os.dup(_STDOUT)
    try:
        with tempfile.TemporaryFile() as file:
            os.dup2(file.fileno(), _STDOUT)
            try:
                yield caught
            finally:
                _flush(libc)
                os.dup2(saved, _STDOUT)
            file.seek(0)
            caught.append(file.read().decode(errors="replace"))
    finally:
        os.close(saved)


def kernel_log(run: Callable[[], Any]) -> str:
    """Call ``run`` with the logs of every copy of oneDNN and of PyTorch's MKL on; returns both.

    Never while timing: each kernel then takes its own time and writes a line.
    """
    import torch

    # Looked up at each call: an extension that brings its own oneDNN replaces this with a switch
    # for both copies.
    onednn: Any = torch.backends.mkldnn
    mkl: Any = torch.backends.mkl
    products = mkl.verbose(mkl.VERBOSE_ON) if mkl.is_available() else nullcontext()
    with captured_stdout() as caught, onednn.verbose(onednn.VERBOSE_ON), products:
        run()
    return caught[0]


def _flush(libc: ctypes.CDLL) -> None:
    if sys.stdout is not None:
        sys.stdout.flush()
    libc.fflush(None)
