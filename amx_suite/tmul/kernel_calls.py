"""System calls of libc that Python has no function for."""

from __future__ import annotations

__all__ = [
    "current_cpu",
    "forbid_core_files",
    "require_executable_memory",
    "set_signal_stack",
    "signal_name",
    "untouched_memory",
]

import ctypes
import errno
import mmap
import os
import signal

from amx_suite.errors import NotApplicableError

_libc = ctypes.CDLL(None, use_errno=True)
_PR_SET_DUMPABLE = 4


class _SignalStack(ctypes.Structure):
    """stack_t."""

    _fields_ = (("start", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))


def signal_name(number: int) -> str:
    """The name of a signal, such as ``SIGILL``."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def current_cpu() -> int:
    """The CPU that this thread runs on now."""
    return int(_libc.sched_getcpu())


def forbid_core_files() -> None:
    """Let the kernel make no core file of this process, until it runs another program.

    RLIMIT_CORE does not hold where core files are piped to a program (core(5)), as they are where
    systemd or Apport collects them.
    """
    _libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def require_executable_memory() -> None:
    """Raise NotApplicableError if the kernel lets this process execute no memory that it wrote.

    LLVM and oneDNN write machine code at run time. Where they may not, LLVM's user dies of SIGSEGV,
    and oneDNN "could not create a primitive" (both seen on Linux 6.18 under PR_SET_MDWE).
    """
    memory = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    start = ctypes.c_void_p(ctypes.addressof(ctypes.c_char.from_buffer(memory)))
    if _libc.mprotect(start, mmap.PAGESIZE, mmap.PROT_READ | mmap.PROT_EXEC) != 0:
        raise NotApplicableError(
            "the kernel refuses this process executable memory (mprotect: "
            f"{errno.errorcode[ctypes.get_errno()]}), so no code can be written at run time: allow "
            "it (SELinux: execmem; systemd: MemoryDenyWriteExecute=no)"
        )


def set_signal_stack(size: int) -> tuple[object, int]:
    """Give this thread an alternate signal stack; returns (what must stay alive, errno or 0)."""
    memory = mmap.mmap(-1, size)
    view = (ctypes.c_char * size).from_buffer(memory)
    stack = _SignalStack(ctypes.addressof(view), 0, size)
    failed = _libc.sigaltstack(ctypes.byref(stack), None) != 0
    return view, ctypes.get_errno() if failed else 0


def untouched_memory(content: bytes) -> tuple[mmap.mmap, int]:
    """A mapping of ``content`` and its address; no page has been touched through the mapping."""
    descriptor = os.memfd_create("tiles")
    try:
        os.pwrite(descriptor, content, 0)
        mapping = mmap.mmap(descriptor, len(content))
    finally:
        os.close(descriptor)
    return mapping, ctypes.addressof(ctypes.c_char.from_buffer(mapping))
