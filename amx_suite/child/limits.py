"""Which limit of the operating system an error means, and what to do about it.

A limit that is reached shows as an errno, or as a sentence of Python, PyTorch, a C++ or OpenMP
runtime, or the loader. Sources: getrlimit(2); Linux Documentation, admin-guide/cgroup-v2.rst and
cgroup-v1/ (memory, pids); the messages of CPython, glibc, libgomp, OpenBLAS and ATen.
"""

from __future__ import annotations

__all__ = ["MEMORY_REMEDY", "OF_LIMITS", "limit_of", "oom_kills", "reached_limit"]

import re
import resource
from pathlib import Path

from amx_suite.child.cgroups import groups
from amx_suite.errors import LimitReachedError, OutOfMemoryError
from amx_suite.files import text_of

MEMORY_REMEDY = "use a smaller shape or fewer arms at a time, or free memory"

#: What an error is that says that a limit was reached: of Python, PyTorch or the loader.
OF_LIMITS = (OSError, MemoryError, RuntimeError, ImportError)

_FILES = re.compile(r"\[Errno 2[34]\]|Too many open files")
_TASKS = re.compile(
    r"\[Errno 11\]|Resource temporarily unavailable|can't start new thread|"
    r"(?:Thread creation|pthread_create) failed"
)
_MEMORY = re.compile(
    r"\[Errno 12\]|MemoryError|(?:can't|cannot) allocate memory|not enough memory|std::bad_alloc|"
    r"out of memory|failed to map segment|Memory allocation still failed",
    re.IGNORECASE,
)


def reached_limit(text: str) -> tuple[type[LimitReachedError], str] | None:
    """The error for the text of another one, and what to do; None if it speaks of no limit."""
    if _FILES.search(text):
        return LimitReachedError, (
            f"the limit of open files is reached (ulimit -n: {_limit(resource.RLIMIT_NOFILE)}); "
            "raise it, for example with `ulimit -n 4096`"
        )
    if _TASKS.search(text):
        return LimitReachedError, (
            "no more processes or threads may be started (ulimit -u: "
            f"{_limit(resource.RLIMIT_NPROC)}, pids.max: {_pids_max()}); raise that limit, or end "
            "other processes of this user or container"
        )
    if not _MEMORY.search(text):
        return None
    address_space = _limit(resource.RLIMIT_AS)
    if address_space != "unlimited":
        return OutOfMemoryError, (
            f"the limit of address space is reached (ulimit -v: {int(address_space) // 1024} "
            "KiB), and PyTorch reserves far more than it uses; lift it with `ulimit -v unlimited`"
        )
    return OutOfMemoryError, f"memory ran out; {MEMORY_REMEDY}"


def limit_of(error: BaseException | None) -> tuple[type[LimitReachedError], str] | None:
    """``reached_limit`` of an exception; None for one of a kind that speaks of none."""
    if not isinstance(error, OF_LIMITS):
        return None
    return reached_limit(f"{type(error).__name__}: {error}")


def oom_kills(root: Path = Path("/")) -> int:
    """How many processes of this process's control group the kernel has killed for memory.

    Of the whole machine where the group does not count them, and 0 if that is unknown too.
    """
    files = [
        group.folder / ("memory.events" if group.version == 2 else "memory.oom_control")
        for group in groups("memory", root)
    ]
    for file in (*files, root / "proc/vmstat"):
        found = re.search(r"^oom_kill (\d+)$", text_of(file), re.MULTILINE)
        if found:
            return int(found[1])
    return 0


def _limit(kind: int) -> str:
    soft, _ = resource.getrlimit(kind)
    return "unlimited" if soft == resource.RLIM_INFINITY else str(soft)


def _pids_max() -> str:
    found = [text_of(group.folder / "pids.max") for group in groups("pids")]
    return str(min((int(text) for text in found if text.isdecimal()), default="unlimited"))
