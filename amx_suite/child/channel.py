"""Messages, and how they cross the socket: a msgpack envelope, then the arrays' raw bytes.

Layout of a frame, little endian::

    u32 length of the envelope | envelope | bytes of array 0 | bytes of array 1 | ...

The envelope holds the message and each array's name, dtype and shape, so the bytes are read
straight into the arrays' memory. Arrays hold numbers only: nothing that arrives is executed.
"""

from __future__ import annotations

__all__ = [
    "LENGTH",
    "PASSED_ON",
    "ArrayMap",
    "Channel",
    "ChannelClosedError",
    "Failed",
    "FrameError",
    "Ready",
    "Reply",
    "Request",
]

import math
import socket
import struct
import time
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import msgspec

from amx_suite.errors import (
    AmxSuiteError,
    EngineUnavailableError,
    NotApplicableError,
    OutputError,
    UsageError,
)

if TYPE_CHECKING:
    import numpy as np

    ArrayMap = dict[str, np.ndarray[Any, Any]]
else:
    ArrayMap = dict

LENGTH = struct.Struct("<I")
_LARGEST_ENVELOPE_BYTES = 64 * 2**20
_LARGEST_ARRAY_BYTES = 4 * 2**30
#: numpy's kinds of numbers: no objects, text or records.
_KINDS = "biufc"

#: Errors that a child reports and its parent raises again.
PASSED_ON: tuple[type[AmxSuiteError], ...] = (
    NotApplicableError,
    EngineUnavailableError,
    UsageError,
    OutputError,
)


class ChannelClosedError(Exception):
    """The other end is gone."""


class FrameError(Exception):
    """The bytes received are not a frame of this protocol."""


class Request(msgspec.Struct, frozen=True, tag=True):
    """A request of the parent. A child that exceeds these limits counts as hung."""

    seconds_to_send: ClassVar[float] = 30.0
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


class _ArrayHeader(msgspec.Struct, frozen=True):
    name: str
    dtype: Annotated[str, msgspec.Meta(max_length=16)]
    shape: tuple[Annotated[int, msgspec.Meta(ge=0)], ...]


class _Envelope(msgspec.Struct, frozen=True):
    message: msgspec.Raw
    arrays: tuple[_ArrayHeader, ...]


class Channel:
    """One end of the socket; both ends use this class. A time limit of None waits forever."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def send(
        self,
        message: msgspec.Struct,
        arrays: ArrayMap | None = None,
        seconds: float | None = None,
    ) -> None:
        """Send a message and its arrays within ``seconds``.

        Raises ChannelClosedError if the other end is gone, TimeoutError if it does not read in
        time, and TypeError for an array that holds anything but numbers.
        """
        deadline = _Deadline(seconds)
        contiguous = {name: _contiguous(name, array) for name, array in (arrays or {}).items()}
        headers = tuple(
            _ArrayHeader(name, array.dtype.str, array.shape) for name, array in contiguous.items()
        )
        body = msgspec.msgpack.encode(
            _Envelope(msgspec.Raw(msgspec.msgpack.encode(message)), headers)
        )
        self._send(LENGTH.pack(len(body)) + body, deadline)
        for array in contiguous.values():
            if array.nbytes:
                self._send(array.data.cast("B"), deadline)

    def receive(self, kind: Any, seconds: float | None = None) -> tuple[Any, ArrayMap]:
        """The next message, of type ``kind``, and its arrays, within ``seconds``.

        Raises ChannelClosedError, TimeoutError, or FrameError for anything but such a message.
        """
        deadline = _Deadline(seconds)
        (length,) = LENGTH.unpack(self._read_exactly(LENGTH.size, deadline))
        if length > _LARGEST_ENVELOPE_BYTES:
            raise FrameError(f"an envelope of {length} bytes is announced")
        envelope = _decode(self._read_exactly(length, deadline), _Envelope)
        arrays = {head.name: self._read_array(head, deadline) for head in envelope.arrays}
        return _decode(envelope.message, kind), arrays

    def close(self) -> None:
        """Close this end; the other sees ChannelClosedError."""
        self._socket.close()

    def _send(self, data: bytes | memoryview, deadline: _Deadline) -> None:
        try:
            # The limit is for all the data (documentation of socket.sendall).
            self._socket.settimeout(deadline.left())
            self._socket.sendall(data)
        except TimeoutError:
            raise
        except OSError as error:  # broken, reset, or closed on this side
            raise ChannelClosedError(str(error)) from error

    def _read_array(self, head: _ArrayHeader, deadline: _Deadline) -> Any:
        import numpy as np

        try:
            dtype = np.dtype(head.dtype)
        except TypeError as error:
            raise FrameError(f"array '{head.name}' has no known type: {error}") from error
        if dtype.kind not in _KINDS:
            raise FrameError(f"array '{head.name}' is of type {dtype}, which is no number")
        size = math.prod(head.shape) * dtype.itemsize
        if size > _LARGEST_ARRAY_BYTES:
            raise FrameError(f"array '{head.name}' of {size} bytes is announced")
        array = np.empty(head.shape, dtype)
        if size:
            self._read_into(array.data.cast("B"), deadline)
        return array

    def _read_exactly(self, count: int, deadline: _Deadline) -> bytes:
        buffer = bytearray(count)
        self._read_into(memoryview(buffer), deadline)
        return bytes(buffer)

    def _read_into(self, view: memoryview, deadline: _Deadline) -> None:
        while view:
            try:
                self._socket.settimeout(deadline.left())
                count = self._socket.recv_into(view)
            except TimeoutError:
                raise
            except OSError as error:
                raise ChannelClosedError(str(error)) from error
            if count == 0:
                raise ChannelClosedError("the other end closed the connection")
            view = view[count:]


class _Deadline:
    """Counts down from ``seconds``; None never ends."""

    def __init__(self, seconds: float | None) -> None:
        self._end = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float | None:
        """Seconds left; raises TimeoutError when there are none."""
        if self._end is None:
            return None
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("the time limit is over")
        return left


def _contiguous(name: str, array: Any) -> Any:
    import numpy as np

    if array.dtype.kind not in _KINDS:
        raise TypeError(f"array '{name}' is of type {array.dtype}, which is no number")
    # ascontiguousarray would turn a 0-d array into a 1-d one.
    return array if array.flags.c_contiguous else np.ascontiguousarray(array)


def _decode(raw: bytes | msgspec.Raw, kind: Any) -> Any:
    try:
        return msgspec.msgpack.decode(raw, type=kind)
    except msgspec.MsgspecError as error:
        raise FrameError(f"the message cannot be read: {error}") from error
