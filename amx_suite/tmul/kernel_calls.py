"""System calls of libc that Python has no function for, as child processes need them."""

from __future__ import annotations

__all__ = [
    "current_cpu",
    "handle_signal",
    "set_signal_stack",
    "signal_name",
    "untouched_memory",
]

import ctypes
import mmap
import os
import signal

_SA_ONSTACK = 0x08000000
#: sigset_t of glibc: 1024 signals.
_SIGNAL_SET_BYTES = 128

_libc = ctypes.CDLL(None, use_errno=True)


class _SignalStack(ctypes.Structure):
    """stack_t."""

    _fields_ = (("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


class _SignalAction(ctypes.Structure):
    """struct sigaction of glibc on x86-64."""

    _fields_ = (
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_char * _SIGNAL_SET_BYTES),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    )


def signal_name(number: int) -> str:
    """The name of a signal, such as ``SIGILL``."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def current_cpu() -> int:
    """The CPU that this thread runs on at this moment."""
    return int(_libc.sched_getcpu())


def set_signal_stack(size: int) -> tuple[object, int]:
    """Give this thread an alternate signal stack; returns (what must stay alive, errno or 0)."""
    memory = mmap.mmap(-1, size)
    view = (ctypes.c_char * size).from_buffer(memory)
    stack = _SignalStack(ctypes.addressof(view), 0, size)
    failed = _libc.sigaltstack(ctypes.byref(stack), None) != 0
    return view, ctypes.get_errno() if failed else 0


def handle_signal(signal_number: int, handler_address: int, *, on_stack: bool = False) -> None:
    """Install a handler in machine code, on the alternate stack if asked; raises OSError."""
    action = _SignalAction(handler_address, b"", _SA_ONSTACK if on_stack else 0, None)
    if _libc.sigaction(signal_number, ctypes.byref(action), None) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def untouched_memory(content: bytes) -> tuple[mmap.mmap, int]:
    """A mapping of ``content`` none of whose pages has been touched through it, and its address."""
    descriptor = os.memfd_create("tiles")
    try:
        os.pwrite(descriptor, content, 0)
        mapping = mmap.mmap(descriptor, len(content))
    finally:
        os.close(descriptor)
    view = ctypes.c_char.from_buffer(mapping)
    return mapping, ctypes.addressof(view)
