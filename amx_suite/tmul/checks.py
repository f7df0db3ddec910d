"""The parent's side of the state and fault checks: start the child program and read its results."""

from __future__ import annotations

__all__ = ["run_checks"]

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence

import msgspec

from amx_suite.errors import WorkerDiedError
from amx_suite.tmul.check import CheckResult

_PROGRAM = (sys.executable, "-m", "amx_suite.tmul.check_child")
_STDERR_TAIL_BYTES = 2000


def run_checks(
    cpus: Sequence[int], names: Sequence[str] = (), *, program: Sequence[str] = _PROGRAM
) -> Iterator[CheckResult]:
    """Each result as it comes: every named check (none: all) on every CPU.

    Raises WorkerDiedError if the program itself, not a check, is killed or fails.
    """
    with tempfile.TemporaryFile() as stderr:
        process = subprocess.Popen(
            [*program, ",".join(map(str, cpus)), *names],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
        )
        assert process.stdout is not None
        try:
            for line in process.stdout:
                yield msgspec.json.decode(line, type=CheckResult)
            code = process.wait()
        finally:
            process.kill()
            process.wait()
            process.stdout.close()
        if code != 0:
            stderr.seek(max(0, stderr.seek(0, 2) - _STDERR_TAIL_BYTES))
            tail = stderr.read().decode(errors="replace")
            raise WorkerDiedError("tile checks", f"it ended with exit code {code}", tail)
