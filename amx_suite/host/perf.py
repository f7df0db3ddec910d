"""Counts of one of the kernel's events on one CPU: perf_event_open(2)."""

from __future__ import annotations

__all__ = ["count_events"]

import ctypes
import functools
import os
import struct
import sys

#: The call's number on x86-64, the size of the first version of its structure, and its flag that
#: closes the descriptor in programs that this process starts (linux/perf_event.h).
_CALL, _SIZE, _CLOSE_ON_EXEC = 298, 64, 8


def count_events(kind: int, config: int) -> int:
    """How often the event came since this process first asked for it; OSError where refused.

    ``kind`` and ``config`` are what /sys/bus/event_source/devices says. The CPU is the first one
    that this process may use.
    """
    return int.from_bytes(os.read(_opened(kind, config), 8), sys.byteorder)


@functools.cache
def _opened(kind: int, config: int) -> int:
    """A descriptor, kept, because the count begins when it is opened."""
    call = ctypes.CDLL(None, use_errno=True).syscall
    attributes = struct.pack(f"IIQ{_SIZE - 16}x", kind, _SIZE, config)
    every_process, cpu, no_group = -1, min(os.sched_getaffinity(0)), -1
    opened: int = call(_CALL, attributes, every_process, cpu, no_group, _CLOSE_ON_EXEC)
    if opened < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return opened
