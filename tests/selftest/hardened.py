"""What a hardened service or a container takes from a process, for a child or a fork."""

import ctypes
import os
import subprocess
import sys

import pytest

_libc = ctypes.CDLL(None, use_errno=True)

#: PR_SET_MDWE with PR_MDWE_REFUSE_EXEC_GAIN, from Linux 6.3 on; children inherit it.
_FORBID = "import ctypes; assert ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) == 0\n"
_PR_SET_MDWE, _PR_MDWE_REFUSE_EXEC_GAIN = 65, 1
_PR_GET_MDWE = 66
_CLONE_NEWNS = 0x00020000
_MS_NOEXEC, _MS_RDONLY, _MS_REC, _MS_PRIVATE = 8, 1, 0x4000, 0x40000


def forbid_executable_memory():
    """Refuse it to this process and its children; OSError on an old kernel."""
    if _libc.prctl(_PR_SET_MDWE, _PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0) != 0:
        raise OSError("this kernel has no PR_SET_MDWE (Linux 6.3)")


def run_without_executable_memory(code, **environ):
    """Run Python code that may not execute memory that it wrote; skips on an old kernel."""
    if _libc.prctl(_PR_GET_MDWE, 0, 0, 0, 0) < 0:
        pytest.skip("this kernel has no PR_SET_MDWE (Linux 6.3)")
    return subprocess.run(
        [sys.executable, "-c", _FORBID + code],
        env={**os.environ, **environ},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def mount(folder, *, read_only=False, noexec=False):
    """Mount an empty file system on the folder, for this process and its children only."""
    flags = _MS_RDONLY * read_only | _MS_NOEXEC * noexec
    if (
        _libc.unshare(_CLONE_NEWNS) != 0
        or _libc.mount(None, b"/", None, _MS_REC | _MS_PRIVATE, None) != 0
        or _libc.mount(b"tmpfs", os.fsencode(folder), b"tmpfs", flags, None) != 0
    ):
        raise OSError(ctypes.get_errno(), "cannot mount")


def why_no_mount():
    """Why this process cannot ``mount``, empty if it can; tried in a fork."""
    code = f"import sys; sys.path[:] = {sys.path!r}; import hardened; hardened.mount('/proc')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else "this kernel or user may not mount a tmpfs"
