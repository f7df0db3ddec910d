"""The worker: make the handler, then answer requests until the parent closes the socket."""

from __future__ import annotations

__all__ = ["Handler", "serve"]

import importlib
import os
import re
import socket
import traceback
from typing import Any, ClassVar, Protocol

from amx_suite.child.channel import (
    PASSED_ON,
    ArrayMap,
    Channel,
    Failed,
    Ready,
    Reply,
)
from amx_suite.errors import ChildFailedError, OutOfMemoryError

#: Messages of PyTorch's allocator and the C++ runtime when memory runs out; a RuntimeError.
_OUT_OF_MEMORY = re.compile(
    r"can't allocate memory|not enough memory|cannot allocate memory|std::bad_alloc|out of memory",
    re.IGNORECASE,
)


class Handler(Protocol):
    """Answers requests in a child. ``requests`` is the union of the request types it accepts."""

    requests: ClassVar[Any]

    def handle(self, request: Any, arrays: ArrayMap) -> tuple[Reply, ArrayMap]:
        """Carry out one request. An exception is reported to the parent; the child lives on."""


def serve(sock: socket.socket, handler_path: str) -> int:
    """Answer requests until the parent closes the socket; returns the exit code.

    ``handler_path`` names a callable without arguments that makes the handler: ``module:name``.
    """
    module, _, name = handler_path.partition(":")
    handler: Handler = getattr(importlib.import_module(module), name)()
    channel = Channel(sock)
    try:
        channel.send(Ready(os.getpid()))
        while True:
            request, arrays = channel.receive(handler.requests)
            try:
                reply, results = handler.handle(request, arrays)
            except Exception as error:  # noqa: BLE001 - each is reported to the parent
                reply, results = _failed(error), {}
            channel.send(reply, results)
    except OSError:  # the parent is gone
        return 0


def _failed(error: Exception) -> Failed:
    for known in PASSED_ON:
        if isinstance(error, known):
            return Failed(known.__name__, str(error))
    no_memory = isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error))
    )
    raised = OutOfMemoryError if no_memory else ChildFailedError
    return Failed(raised.__name__, f"{type(error).__name__}: {error}", traceback.format_exc())
