"""Standard input, output and error of a command, in whatever state its caller left them.

A terminal may know ASCII only, a disk may be full, a service may have closed all three. What is
printed for people then degrades, and the exit code stays that of the verdict. What is printed for
programs must be complete, or it is an error.
"""

from __future__ import annotations

__all__ = ["mended_streams", "write_data"]

import codecs
import errno
import io
import os
import select
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

from amx_suite.errors import OutputError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

#: The name of ``_degrade`` among the error handlers of codecs.
_ERRORS = "amx_suite.degrade"
#: What a stream gets for characters of tables that it cannot encode.
_PLAIN = {"─": "-"}


class _Steady(io.FileIO):
    """A descriptor for which a write never fails: what it refuses is lost, and ``error`` says why.

    Libraries between a command and its terminal (pytest, rich) meet no error, wherever they write.
    """

    error: OSError | None = None

    def write(self, data: ReadableBuffer, /) -> int:
        """Write what the descriptor takes; returns the bytes that are done with."""
        try:
            # None: another process made the terminal or pipe non-blocking, and it is full.
            while (written := super().write(data)) is None:
                select.select([], [self], [])
            return written
        except OSError as error:
            self.error = error
            return len(memoryview(data).cast("B"))


@contextmanager
def mended_streams() -> Iterator[None]:
    """Within the context, text of any kind can be printed, and no descriptor of 0 to 2 is closed.

    At its end a line on standard error says if standard output was not complete. A closed pipe is
    no news: its reader has gone.
    """
    _open_descriptors()
    found = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _mended(sys.stdout, 1), _mended(sys.stderr, 2)
    try:
        yield
    finally:
        sys.stdout.flush()
        error = _error_of(sys.stdout)
        if error is not None and not isinstance(error, BrokenPipeError):
            print(
                f"amx-suite: warning: standard output cannot be written ({error.strerror}), so "
                "what was printed is not complete",
                file=sys.stderr,
            )
        sys.stderr.flush()
        sys.stdout, sys.stderr = found


def write_data(text: str) -> None:
    """Write to standard output what a program or file is to get: UTF-8, whatever the terminal.

    Raises OutputError if not all of it can be written, BrokenPipeError if its reader has gone.
    """
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode(errors="backslashreplace"))
    sys.stdout.buffer.flush()
    error = _error_of(sys.stdout, forget=True)  # it is said below
    if error is None:
        return
    if isinstance(error, BrokenPipeError):
        raise error
    raise OutputError(
        f"standard output cannot be written ({error.strerror}); send it to a file with room"
    ) from error


def _open_descriptors() -> None:
    """Open those of 0 to 2 that are closed.

    The next file or socket would get such a number, and with it what others print or read.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest free number is this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def _mended(stream: TextIO | None, descriptor: int) -> TextIO:
    """The stream, on a ``_Steady``; as it is if it writes to no descriptor, as a test's may."""
    if stream is None:  # the descriptor was closed when Python started
        steady = _Steady(descriptor, "w", closefd=False)
        steady.error = OSError(errno.EBADF, "it is closed")
        return io.TextIOWrapper(io.BufferedWriter(steady), "utf-8", _ERRORS)
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    try:
        steady = _Steady(stream.fileno(), "w", closefd=False)
    except OSError:
        return stream
    with suppress(OSError):
        stream.flush()
    return io.TextIOWrapper(
        io.BufferedWriter(steady),
        stream.encoding,
        _ERRORS,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


def _error_of(stream: TextIO, *, forget: bool = False) -> OSError | None:
    """Why something was not written, None if all was."""
    steady = getattr(getattr(stream, "buffer", None), "raw", None)
    if not isinstance(steady, _Steady):
        return None
    error = steady.error
    if forget:
        steady.error = None
    return error


def _degrade(error: UnicodeError) -> tuple[str, int]:
    """Another spelling of what the encoding lacks: of tables in ASCII, else the code points."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    spelled = (_PLAIN.get(x) or x.encode("ascii", "backslashreplace").decode() for x in letters)
    return "".join(spelled), error.end


codecs.register_error(_ERRORS, _degrade)
