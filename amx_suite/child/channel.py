"""Messages, how they cross the socket, and the worker that answers them.

A frame is a head in msgpack, then the arrays' raw bytes, little endian::

    u32 length of the head | head | bytes of array 0 | bytes of array 1 | ...

The head holds each array's name, dtype and shape, and the message, so the bytes are read straight
into the arrays' memory. Arrays hold numbers only: nothing that arrives is executed.
"""

from __future__ import annotations

__all__ = [
    "LENGTH",
    "ArrayMap",
    "Channel",
    "Failed",
    "Handler",
    "Ready",
    "Reply",
    "Request",
    "serve",
]

import contextlib
import importlib
import math
import os
import re
import socket
import struct
import time
import traceback
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Protocol, Self, TypeVar

import msgspec

from amx_suite.child.limits import limit_of
from amx_suite.documents import explain, in_one_line
from amx_suite.errors import (
    AmxSuiteError,
    ChildError,
    ChildFailedError,
    EngineUnavailableError,
    LimitReachedError,
    NotApplicableError,
    OutOfMemoryError,
    OutputError,
    UsageError,
)

if TYPE_CHECKING:
    import numpy as np

    ArrayMap = dict[str, np.ndarray[Any, Any]]
else:
    ArrayMap = dict

_Buffer = TypeVar("_Buffer", bytearray, memoryview)

LENGTH = struct.Struct("<I")
_LARGEST_HEAD_BYTES = 64 * 2**20
_LARGEST_ARRAY_BYTES = 4 * 2**30
_Length = Annotated[int, msgspec.Meta(ge=0, le=_LARGEST_ARRAY_BYTES)]
#: numpy's kinds of numbers: no objects, text or records.
_KINDS = "biufc"

#: The line that says so in a message of Python, a library or a compiler (ENOSPC, EDQUOT).
_FULL_DISK = re.compile(r".*(?:No space left on device|Disk quota exceeded).*")
_DISK_REMEDY = "free space there, or set TMPDIR and XDG_CACHE_HOME to folders with more room"
#: Errors that a child reports and its parent raises again.
_PASSED_ON = (NotApplicableError, EngineUnavailableError, UsageError, OutputError)
_OF_CHILDREN = (LimitReachedError, OutOfMemoryError, ChildFailedError)


class Request(msgspec.Struct, frozen=True, tag=True):
    """A request of the parent. A child that exceeds this limit counts as hung."""

    seconds_to_answer: ClassVar[float] = 60.0


class Reply(msgspec.Struct, frozen=True, tag=True):
    """A reply of the child."""


class Ready(Reply, frozen=True, tag=True):
    """The first message of a child, sent once its handler exists."""

    pid: int


class Failed(Reply, frozen=True, tag=True):
    """The request raised an exception, and the child lives on.

    ``error`` is the name of the class in ``amx_suite.errors`` that the parent raises.
    """

    error: str
    message: str
    traceback: str = ""

    @classmethod
    def of(cls, error: Exception) -> Self:
        """What the child reports of the exception that it handles."""
        for kind in _PASSED_ON:
            if isinstance(error, kind):
                return cls(kind.__name__, str(error))
        message = f"{type(error).__name__}: {error}"
        if full := _FULL_DISK.search(str(error)):
            return cls(OutputError.__name__, f"{full[0].strip()}; {_DISK_REMEDY}")
        if (limit := limit_of(error)) is not None:
            of_limit, why = limit
            return cls(of_limit.__name__, f"{why} ({message.splitlines()[0]})")
        return cls(ChildFailedError.__name__, message, traceback.format_exc())

    def raised(self, label: str) -> AmxSuiteError:
        """The exception that the parent raises; ``label`` says which child reported it."""
        for kind in _PASSED_ON:
            if self.error == kind.__name__:
                return kind(self.message)
        kinds: dict[str, type[ChildError]] = {each.__name__: each for each in _OF_CHILDREN}
        return kinds.get(self.error, ChildFailedError)(label, self.message, self.traceback)


class _ArrayHeader(msgspec.Struct, frozen=True):
    name: str
    dtype: Annotated[str, msgspec.Meta(max_length=16)]
    shape: Annotated[tuple[_Length, ...], msgspec.Meta(max_length=32)]


class Channel:
    """One end of the socket; both ends use this class. A time limit of None waits forever.

    A call that exceeds its limit raises TimeoutError; if the other end is gone, it raises another
    OSError.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def send(
        self,
        message: msgspec.Struct,
        arrays: ArrayMap | None = None,
        seconds: float | None = None,
    ) -> None:
        """Send a message and its arrays within ``seconds``.

        Raises TypeError for an array that holds anything but numbers.
        """
        deadline = _deadline(seconds)
        contiguous = {name: _contiguous(name, array) for name, array in (arrays or {}).items()}
        headers = [
            _ArrayHeader(name, array.dtype.str, array.shape) for name, array in contiguous.items()
        ]
        head = msgspec.msgpack.encode((headers, message))
        self._send(LENGTH.pack(len(head)) + head, deadline)
        for array in contiguous.values():
            if array.nbytes:
                self._send(array.data.cast("B"), deadline)

    def receive(self, kind: Any, seconds: float | None = None) -> tuple[Any, ArrayMap]:
        """The next message, of type ``kind``, and its arrays, within ``seconds``.

        Raises msgspec.DecodeError for anything but such a message; it shows the first value that
        is out of its type's bounds.
        """
        deadline = _deadline(seconds)
        (length,) = LENGTH.unpack(self._read(bytearray(LENGTH.size), deadline))
        if length > _LARGEST_HEAD_BYTES:
            raise msgspec.DecodeError(f"a head of {length} bytes is announced")
        head = self._read(bytearray(length), deadline)
        headers, message = _decoded(head, kind)
        return message, {each.name: self._read_array(each, deadline) for each in headers}

    def close(self) -> None:
        """Close this end; the other sees an OSError, and so does a thread that waits here."""
        with contextlib.suppress(OSError):  # the other end is gone
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()

    def _limit(self, deadline: float) -> None:
        """Give the socket's next call the time that is left."""
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time limit is over")
        self._socket.settimeout(None if math.isinf(left) else left)

    def _send(self, data: bytes | memoryview, deadline: float) -> None:
        # The limit is for all the data (documentation of socket.sendall).
        self._limit(deadline)
        self._socket.sendall(data)

    def _read_array(self, header: _ArrayHeader, deadline: float) -> Any:
        import numpy as np

        try:
            dtype = np.dtype(header.dtype)
        except (TypeError, ValueError, SyntaxError) as error:
            raise msgspec.DecodeError(
                f"array '{header.name}' has no known type: {error}"
            ) from error
        if dtype.kind not in _KINDS:
            raise msgspec.DecodeError(_no_number(header.name, dtype))
        size = math.prod(header.shape) * dtype.itemsize
        if size > _LARGEST_ARRAY_BYTES:
            raise msgspec.DecodeError(f"array '{header.name}' of {size} bytes is announced")
        try:
            array = np.empty(header.shape, dtype)
        except ValueError as error:  # sides too long, beside one of 0
            raise msgspec.DecodeError(
                f"array '{header.name}' of shape {header.shape} is announced"
            ) from error
        if size:
            self._read(array.data.cast("B"), deadline)
        return array

    def _read(self, buffer: _Buffer, deadline: float) -> _Buffer:
        """Fill the buffer."""
        view = memoryview(buffer)
        while view:
            count = self._receive_into(view, deadline)
            if count == 0:
                raise ConnectionError("the other end closed the connection")
            view = view[count:]
        return buffer

    def _receive_into(self, view: memoryview, deadline: float) -> int:
        try:
            self._limit(deadline)
            return self._socket.recv_into(view)
        except TimeoutError:
            # This process may have been stopped meanwhile, and the child was in time.
            self._socket.settimeout(0.0)
            with contextlib.suppress(BlockingIOError):
                return self._socket.recv_into(view)
            raise


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
                reply, results = Failed.of(error), {}
            channel.send(reply, results)
    except OSError:  # the parent is gone
        return 0


def _decoded(head: bytearray, kind: Any) -> tuple[list[_ArrayHeader], Any]:
    try:
        content = msgspec.msgpack.decode(head)
        return msgspec.convert(content, tuple[list[_ArrayHeader], kind])
    except msgspec.ValidationError as error:
        raise msgspec.DecodeError(explain(error, content)) from error
    except (RecursionError, ValueError) as error:
        raise msgspec.DecodeError(in_one_line(str(error))) from error


def _deadline(seconds: float | None) -> float:
    return math.inf if seconds is None else time.monotonic() + seconds


def _contiguous(name: str, array: Any) -> Any:
    import numpy as np

    if array.dtype.kind not in _KINDS:
        raise TypeError(_no_number(name, array.dtype))
    # ascontiguousarray would turn a 0-d array into a 1-d one.
    return array if array.flags.c_contiguous else np.ascontiguousarray(array)


def _no_number(name: str, dtype: object) -> str:
    return f"array '{name}' is of type {dtype}, which is no number"
