"""The kernel's tile permission: arch_prctl's questions about extended state.

Standard library only, so that it can be asked before any other import.

Source: Linux Documentation/arch/x86/xstate.rst.
"""

from __future__ import annotations

__all__ = [
    "QUESTIONS",
    "XTILECFG",
    "XTILEDATA",
    "XcompReply",
    "errno_name",
    "permitted",
    "request_tiles",
    "supported",
]

import ctypes
import errno
import os
import struct
import sys
from collections.abc import Callable
from typing import NamedTuple

#: State components in XCR0 and in the kernel's answers. Only XTILEDATA needs a permission, so only
#: its bit shows whether the permission is held.
XTILECFG = 17
XTILEDATA = 18

_SYS_ARCH_PRCTL = 158
_ARCH_GET_XCOMP_SUPP = 0x1021
_ARCH_GET_XCOMP_PERM = 0x1022
_ARCH_REQ_XCOMP_PERM = 0x1023


class XcompReply(NamedTuple):
    """The kernel's answer: a mask of state components (0 for a granted request), or an errno."""

    value: int | None
    errno: int = 0


def errno_name(number: int) -> str:
    """The name of an errno, such as ``EPERM``."""
    # On Linux ENOTSUP has the same number, and Python calls it that; the kernel's name is this one.
    if number == errno.EOPNOTSUPP:
        return "EOPNOTSUPP"
    return errno.errorcode.get(number, f"errno {number}")


def permitted() -> XcompReply:
    """State components that this process may use (ARCH_GET_XCOMP_PERM)."""
    return _mask(_ARCH_GET_XCOMP_PERM)


def request_tiles() -> XcompReply:
    """Ask for the permission to use tiles, for this process and for good (ARCH_REQ_XCOMP_PERM)."""
    return _arch_prctl(_ARCH_REQ_XCOMP_PERM, ctypes.c_ulong(XTILEDATA))


def supported() -> XcompReply:
    """State components that this kernel can give (ARCH_GET_XCOMP_SUPP)."""
    return _mask(_ARCH_GET_XCOMP_SUPP)


def _mask(code: int) -> XcompReply:
    mask = ctypes.c_uint64(0)
    reply = _arch_prctl(code, ctypes.byref(mask))
    return reply if reply.value is None else XcompReply(mask.value)


def _arch_prctl(code: int, argument: object) -> XcompReply:
    # On any other machine the number means another system call.
    if sys.platform != "linux" or os.uname().machine != "x86_64" or struct.calcsize("P") != 8:
        return XcompReply(None, errno.ENOSYS)
    call = ctypes.CDLL(None, use_errno=True).syscall
    call.restype = ctypes.c_long
    if call(ctypes.c_long(_SYS_ARCH_PRCTL), ctypes.c_long(code), argument) != 0:
        return XcompReply(None, ctypes.get_errno())
    return XcompReply(0)


#: What a fresh process asks, in this order.
QUESTIONS: dict[str, Callable[[], XcompReply]] = {
    "supported": supported,
    "before": permitted,
    "request": request_tiles,
    "after": permitted,
}
