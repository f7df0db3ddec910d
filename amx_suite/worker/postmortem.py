"""Why a child is gone or silent: exit codes, signals, the memory killer, stopped processes."""

from __future__ import annotations

__all__ = ["describe_exit", "is_stopped", "oom_kills"]

import signal
from pathlib import Path

from amx_suite.tmul.kernel_calls import signal_name


def oom_kills() -> int:
    """How often the kernel's memory killer has struck on this machine; 0 where it does not tell."""
    try:
        lines = Path("/proc/vmstat").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)


def is_stopped(pid: int) -> bool:
    """Whether the process is stopped (SIGSTOP, a debugger)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    # The name in parentheses may hold anything; the state is the first field after it.
    return text.rpartition(")")[2].split()[0] in ("T", "t")


def describe_exit(returncode: int, *, jailed: bool) -> str:
    """A sentence for a return code as subprocess gives it (negative: killed by that signal)."""
    if returncode >= 0:
        return f"it ended by itself with exit code {returncode}"
    what = f"it was killed by {signal_name(-returncode)}"
    if -returncode == signal.SIGILL:
        if jailed:
            return (
                f"{what}: an instruction the kernel refuses was executed, so a library ignores "
                "its ceiling and used AMX all the same"
            )
        return f"{what}: this machine does not execute an instruction that a library chose"
    return what
