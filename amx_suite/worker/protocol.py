"""How messages cross the socket: one length-prefixed msgpack envelope, then the arrays' raw bytes.

Layout of a frame, little endian::

    u32 length of the envelope | envelope | bytes of array 0 | bytes of array 1 | ...

The envelope holds the message and each array's name, dtype and shape, so the bytes need no framing
of their own and are read straight into the arrays' memory.
"""

from __future__ import annotations

__all__ = ["ArrayMap", "Channel", "ChannelClosedError", "FrameError"]

import math
import socket
import struct
from typing import TYPE_CHECKING, Any

import msgspec

from amx_suite.worker.messages import Reply, Request

if TYPE_CHECKING:
    import numpy as np

    ArrayMap = dict[str, np.ndarray[Any, Any]]
else:
    ArrayMap = dict

_LENGTH = struct.Struct("<I")
_LARGEST_ENVELOPE_BYTES = 64 * 2**20
_LARGEST_ARRAY_BYTES = 16 * 2**30


class ChannelClosedError(Exception):
    """The other end is gone."""


class FrameError(Exception):
    """What arrived is not a frame of this protocol."""


class _ArrayHeader(msgspec.Struct, frozen=True):
    name: str
    dtype: str
    shape: tuple[int, ...]


class _Envelope(msgspec.Struct, frozen=True):
    message: msgspec.Raw
    arrays: tuple[_ArrayHeader, ...]


class Channel:
    """One end of the conversation; both ends use the same class."""

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def send(self, message: Request | Reply, arrays: ArrayMap | None = None) -> None:
        """Send a message and the arrays that belong to it; ChannelClosedError if nobody listens."""
        contiguous = {name: _contiguous(array) for name, array in (arrays or {}).items()}
        headers = tuple(
            _ArrayHeader(name, array.dtype.str, array.shape) for name, array in contiguous.items()
        )
        body = msgspec.msgpack.encode(
            _Envelope(msgspec.Raw(msgspec.msgpack.encode(message)), headers)
        )
        try:
            self._socket.sendall(_LENGTH.pack(len(body)) + body)
            for array in contiguous.values():
                if array.nbytes:
                    self._socket.sendall(array.data.cast("B"))
        except OSError as error:  # broken, reset, or closed on this side
            raise ChannelClosedError(str(error)) from error

    def receive_request(self) -> tuple[Request, ArrayMap]:
        """The child's side: the parent's next request and its arrays."""
        raw, arrays = self._receive()
        return _decode(raw, Request), arrays

    def receive_reply(self, timeout_seconds: float) -> tuple[Reply, ArrayMap]:
        """The parent's side: the child's next reply and its arrays.

        Raises TimeoutError after ``timeout_seconds`` of silence.
        """
        self._socket.settimeout(timeout_seconds)
        try:
            raw, arrays = self._receive()
        finally:
            self._socket.settimeout(None)
        return _decode(raw, Reply), arrays

    def close(self) -> None:
        """Close this end; the other sees ChannelClosedError."""
        self._socket.close()

    def _receive(self) -> tuple[msgspec.Raw, ArrayMap]:
        (length,) = _LENGTH.unpack(self._read_exactly(_LENGTH.size))
        if length > _LARGEST_ENVELOPE_BYTES:
            raise FrameError(f"an envelope of {length} bytes is announced")
        try:
            envelope = msgspec.msgpack.decode(self._read_exactly(length), type=_Envelope)
        except msgspec.DecodeError as error:
            raise FrameError(f"the envelope cannot be read: {error}") from error
        return envelope.message, {head.name: self._read_array(head) for head in envelope.arrays}

    def _read_array(self, head: _ArrayHeader) -> Any:
        import numpy as np

        size = math.prod(head.shape) * np.dtype(head.dtype).itemsize
        if size > _LARGEST_ARRAY_BYTES:
            raise FrameError(f"array '{head.name}' of {size} bytes is announced")
        array = np.empty(head.shape, dtype=head.dtype)
        if size:
            self._read_into(array.data.cast("B"))
        return array

    def _read_exactly(self, count: int) -> bytes:
        buffer = bytearray(count)
        self._read_into(memoryview(buffer))
        return bytes(buffer)

    def _read_into(self, view: memoryview) -> None:
        while view:
            try:
                count = self._socket.recv_into(view)
            except TimeoutError:
                raise
            except OSError as error:
                raise ChannelClosedError(str(error)) from error
            if count == 0:
                raise ChannelClosedError("the other end closed the connection")
            view = view[count:]


def _contiguous(array: Any) -> Any:
    import numpy as np

    # ascontiguousarray would turn a 0-d array into a 1-d one.
    return array if array.flags.c_contiguous else np.ascontiguousarray(array)


def _decode(raw: msgspec.Raw, kind: Any) -> Any:
    try:
        return msgspec.msgpack.decode(raw, type=kind)
    except msgspec.DecodeError as error:
        raise FrameError(f"the message cannot be read: {error}") from error
