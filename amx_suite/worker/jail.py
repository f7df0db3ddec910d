"""A jail against AMX: the kernel refuses this process the tile permission, for good.

Every library asks the kernel for the permission (arch_prctl, ARCH_REQ_XCOMP_PERM) before its first
tile instruction. A seccomp filter that answers this one question with EPERM keeps AMX off whatever
the libraries were told, and leaves everything else as it is. Children inherit it, exec does not
lift it, nothing can take it off. ``python -m amx_suite.worker.jail COMMAND ...`` runs a command in
it.
"""

from __future__ import annotations

__all__ = ["enter_jail", "refuse_amx"]

import ctypes
import errno
import os
import struct
import sys

from amx_suite.core.evidence import Jail
from amx_suite.errors import JailUnavailableError
from amx_suite.tmul.xcomp import XTILEDATA, errno_name, permitted, request_tiles

_PR_SET_NO_NEW_PRIVS = 38
_SYS_SECCOMP = 317
_SECCOMP_SET_MODE_FILTER = 1
#: SECCOMP_FILTER_FLAG_TSYNC: threads that already run are jailed too.
_TSYNC = 1
#: SECCOMP_FILTER_FLAG_SPEC_ALLOW: before Linux 5.16 a filter also switches Speculative Store Bypass
#: off, which would slow the jailed baselines (Documentation/admin-guide/hw-vuln/spectre.rst).
_SPEC_ALLOW = 4

_AUDIT_ARCH_X86_64 = 0xC000003E
_SYS_ARCH_PRCTL = 158
_ARCH_REQ_XCOMP_PERM = 0x1023
#: The x32 system calls are the 64-bit ones with this bit set.
_NOT_X32_BIT = 0xFFFFFFFF & ~0x40000000

# Offsets in struct seccomp_data (linux/seccomp.h). The kernel reads arch_prctl's first argument as
# an int, so the filter ignores its upper half.
_NUMBER, _ARCHITECTURE, _ARGUMENT_0 = 0, 4, 16

# Classic BPF operations (linux/bpf_common.h).
_LOAD, _AND, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x54, 0x15, 0x06
_ALLOW = 0x7FFF0000
_FAIL_WITH_EPERM = 0x00050000 | errno.EPERM

#: (operation, instructions to skip if equal, if not equal, operand)
_FILTER = (
    (_LOAD, 0, 0, _ARCHITECTURE),
    (_JUMP_IF_EQUAL, 0, 6, _AUDIT_ARCH_X86_64),
    (_LOAD, 0, 0, _NUMBER),
    (_AND, 0, 0, _NOT_X32_BIT),
    (_JUMP_IF_EQUAL, 0, 3, _SYS_ARCH_PRCTL),
    (_LOAD, 0, 0, _ARGUMENT_0),
    (_JUMP_IF_EQUAL, 0, 1, _ARCH_REQ_XCOMP_PERM),
    (_RETURN, 0, 0, _FAIL_WITH_EPERM),
    (_RETURN, 0, 0, _ALLOW),
)


class _Program(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))


def enter_jail() -> Jail:
    """Jail this process if the kernel lets it; if not, standard error says why."""
    try:
        refuse_amx()
    except JailUnavailableError as error:
        print(f"the AMX jail could not be set: {error}", file=sys.stderr)
        return Jail.UNAVAILABLE
    return Jail.HELD


def refuse_amx() -> None:
    """Have the kernel refuse this process, and all it starts, the tile permission from now on.

    Call it before PyTorch is imported: a permission once held cannot be taken back. The process can
    gain no privileges through set-user-ID programs any more; the kernel demands this of a filter.

    Raises JailUnavailableError if the kernel does not take the filter, or the permission is held.
    """
    if sys.platform != "linux" or os.uname().machine != "x86_64" or struct.calcsize("P") != 8:
        raise JailUnavailableError("only a 64-bit process on x86-64 Linux can be jailed")
    held = permitted().value
    if held is not None and held >> XTILEDATA & 1:
        raise JailUnavailableError(
            "this process holds the tile permission already, and it cannot be taken back: set the "
            "jail before PyTorch is imported"
        )
    _install(ctypes.CDLL(None, use_errno=True))
    reply = request_tiles()
    if reply.errno != errno.EPERM:
        answer = "granted" if reply.value is not None else f"answered {errno_name(reply.errno)} to"
        raise JailUnavailableError(
            f"the kernel took the filter, but {answer} a request for the tile permission"
        )


def _install(libc: ctypes.CDLL) -> None:
    if libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise _refused("no_new_privs")
    code = b"".join(struct.pack("<HBBI", *instruction) for instruction in _FILTER)
    program = _Program(len(_FILTER), code)
    # A kernel that does not know the second flag (gVisor) refuses it.
    for flags in (_TSYNC | _SPEC_ALLOW, _TSYNC):
        result = libc.syscall(
            ctypes.c_long(_SYS_SECCOMP),
            ctypes.c_ulong(_SECCOMP_SET_MODE_FILTER),
            ctypes.c_ulong(flags),
            ctypes.byref(program),
        )
        if result == 0:
            return
    if result > 0:
        raise JailUnavailableError(f"thread {result} has a system-call filter of its own")
    raise _refused("a system-call filter")


def _refused(what: str) -> JailUnavailableError:
    number = ctypes.get_errno()
    return JailUnavailableError(
        f"the kernel does not let this process set {what}: {errno_name(number)}, "
        f"{os.strerror(number)}"
    )


if __name__ == "__main__":
    refuse_amx()
    os.execvp(sys.argv[1], sys.argv[1:])
