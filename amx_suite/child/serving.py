"""The worker: make the handler, then answer requests until the parent closes the socket."""

from __future__ import annotations

__all__ = ["Handler", "Idle", "serve"]

import importlib
import logging
import os
import re
import socket
import traceback
from typing import Any, ClassVar, Protocol

from amx_suite.child.channel import ArrayMap, Channel, ChannelClosedError
from amx_suite.child.messages import Failed, FailureKind, Ready, Reply, Request
from amx_suite.errors import (
    EngineUnavailableError,
    NotApplicableError,
    OutputError,
    UsageError,
)

#: Messages of PyTorch's allocator and the C++ runtime when memory runs out; a RuntimeError.
_OUT_OF_MEMORY = re.compile(
    r"can't allocate memory|not enough memory|cannot allocate memory|std::bad_alloc|out of memory",
    re.IGNORECASE,
)
_KIND_OF_ERROR: tuple[tuple[type[Exception], FailureKind], ...] = (
    (NotApplicableError, FailureKind.NOT_APPLICABLE),
    (EngineUnavailableError, FailureKind.UNAVAILABLE),
    (UsageError, FailureKind.USAGE),
    (OutputError, FailureKind.USAGE),
    (MemoryError, FailureKind.MEMORY),
)


class Handler(Protocol):
    """Answers requests in a child. ``requests`` is the union of the request types it accepts."""

    requests: ClassVar[Any]

    def handle(self, request: Any, arrays: ArrayMap) -> tuple[Reply, ArrayMap]:
        """Carry out one request. An exception is reported to the parent; the child lives on."""


class Idle:
    """The handler of a child that only keeps its temporary folder; see ``scratch_folder``."""

    requests: ClassVar[Any] = Request

    def handle(self, request: Any, arrays: ArrayMap) -> tuple[Reply, ArrayMap]:
        """Refuse every request."""
        raise ValueError(f"this child accepts no request, got {request}")


def serve(sock: socket.socket, handler_path: str) -> int:
    """Answer requests until the parent closes the socket; returns the exit code.

    ``handler_path`` names a callable without arguments that makes the handler: ``module:name``.
    """
    # It has no variable for this. Its warnings tell of each retry of a download.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
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
    except ChannelClosedError:
        return 0


def _failed(error: Exception) -> Failed:
    kind = next((k for known, k in _KIND_OF_ERROR if isinstance(error, known)), FailureKind.ERROR)
    if isinstance(error, RuntimeError) and _OUT_OF_MEMORY.search(str(error)):
        kind = FailureKind.MEMORY
    if kind in (FailureKind.NOT_APPLICABLE, FailureKind.UNAVAILABLE, FailureKind.USAGE):
        return Failed(kind, str(error))
    return Failed(kind, f"{type(error).__name__}: {error}", traceback.format_exc())
