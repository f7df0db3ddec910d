"""Real arms with real torch in surroundings that end or change a plain Python: one row for each.

Each is prepared, timed and proven as in a run: FP32 of a small product with ``eager``, in a child
of its own. Two run at a time, as torch takes seconds to import.
"""

import contextlib
import os
import re
import resource
import sys
from typing import NamedTuple

import hardened
import pytest
from processes import Forked
from run_cases import case_of

from amx_suite.core.isa import Isa
from amx_suite.engines import ENGINES
from amx_suite.errors import AmxSuiteError
from amx_suite.trial.unproven import why_unproven
from amx_suite.worker.process import IsaWorker
from amx_suite.workloads.base import Inputs

pytestmark = [
    pytest.mark.selftest,
    pytest.mark.skipif(
        ENGINES["eager"].why_unavailable() is not None, reason="engine eager is not available"
    ),
]

CPUS = tuple(sorted(os.sched_getaffinity(0)))[:1]
#: An account that no machine has.
NOBODY = 54321
RAN = "^proven, without permission for AMX$"
OUT_OF_ADDRESS_SPACE = (
    r"^(OutOfMemoryError|LostToLimitError): .*address space is reached \(ulimit -v: 524288 KiB\)"
)


class Row(NamedTuple):
    """``variables`` and ``fault``, which is called first, are of the parent of the arm."""

    name: str
    variables: dict[str, str | None] = {}
    fault: object = None
    says: str = RAN


def close_standard_input():
    os.close(0)


def be_nobody():
    if os.geteuid() != 0:
        raise PermissionError("only root can become another user")
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)
    if not os.access(sys.executable, os.X_OK):
        raise PermissionError("another user may not run this interpreter")


def limit_address_space():
    resource.setrlimit(resource.RLIMIT_AS, (2**29, 2**29))


ROWS = [
    Row("warnings are errors", {"PYTHONWARNINGS": "error"}),
    Row("no TorchScript", {"PYTORCH_JIT": "0"}),
    Row("docstrings and asserts stripped", {"PYTHONOPTIMIZE": "2"}),
    Row("development mode", {"PYTHONDEVMODE": "1", "PYTHONMALLOC": "debug"}),
    Row("interactive afterwards", {"PYTHONINSPECT": "1", "PYTHONSTARTUP": "/nowhere.py"}),
    Row("compiler logs", {"TORCH_LOGS": "+all", "TORCH_COMPILE_DEBUG": "1"}),
    Row("other threads", {"OMP_NUM_THREADS": "nonsense", "MKL_NUM_THREADS": "64"}),
    Row("bound elsewhere", {"OMP_PLACES": "{999}", "KMP_AFFINITY": "granularity=wrong"}),
    Row("another ceiling", {"ONEDNN_MAX_CPU_ISA": "SSE41", "ATEN_CPU_CAPABILITY": "default"}),
    Row("rounded FP32", {"ONEDNN_DEFAULT_FPMATH_MODE": "BF16", "TORCH_ALLOW_TF32": "1"}),
    Row("a library that is gone", {"LD_PRELOAD": "/nowhere/lib.so"}),
    Row("another allocator's wish", {"MALLOC_ARENA_MAX": "0", "GLIBC_TUNABLES": "nonsense"}),
    Row("a plain terminal", {"LC_ALL": "C", "LANG": None, "PYTHONUTF8": "0"}),
    Row("no home, no name", dict.fromkeys(("HOME", "USER", "LOGNAME", "USERNAME"))),
    Row("relative folders", {"XDG_CACHE_HOME": "cache", "HOME": "home"}),
    Row("home is a file", {"HOME": "/proc/version", "XDG_CACHE_HOME": "/proc/version"}),
    Row("no standard input", fault=close_standard_input),
    Row("no account", dict.fromkeys(("HOME", "USER", "LOGNAME")), be_nobody),
    Row(
        "no executable memory",
        {},
        hardened.forbid_executable_memory,
        r"^NotApplicableError: .*executable",
    ),
    Row("little address space", {}, limit_address_space, OUT_OF_ADDRESS_SPACE),
]


def arm():
    """Prepare, time and prove an arm; print what it did, or the error in one line."""
    case = case_of("gemm", isa=Isa.NO_AMX, shape=(1, 16))
    try:
        with IsaWorker(Isa.NO_AMX, "eager", cpus=CPUS) as worker:
            taken = worker.take_slice(worker.prepare(case, Inputs()).iterations)
            evidence = worker.prove().evidence
    except AmxSuiteError as error:
        print(f"{type(error).__name__}: {str(error).splitlines()[0]}")
        return 0
    assert taken.seconds > 0
    unproven = why_unproven(case, evidence, 0.5)
    proof = "proven" if unproven is None else unproven.reason
    print(f"{proof}, {'with' if evidence.amx_permission else 'without'} permission for AMX")
    return 0


def start(row, folder):
    """Start the row's parent, or return why it cannot be."""

    def work():
        try:
            if row.fault is not None:
                row.fault()
        except OSError as error:
            print(f"skipped: {error}")
            return 0
        return arm()

    folder.chmod(0o777)
    given = {**os.environ, "TMPDIR": str(folder), **row.variables}
    return Forked(work, folder, {k: v for k, v in given.items() if v is not None})


@pytest.fixture(scope="module")
def ended(tmp_path_factory):
    """What each row's parent printed, by name; and what its children left in TMPDIR."""
    waiting, found = [], {}

    def take():
        row, folder, forked = waiting.pop(0)
        found[row.name] = forked.wait().stdout, sorted(folder.iterdir())

    # Children of another user must be able to reach it.
    top = tmp_path_factory.mktemp("arms")
    for parent in (top, *top.parents):
        with contextlib.suppress(OSError):
            parent.chmod(parent.stat().st_mode | 0o011)
    sys.stdout.flush()
    for number, row in enumerate(ROWS):
        folder = top / str(number)
        folder.mkdir()
        waiting.append((row, folder, start(row, folder)))
        if len(waiting) == 2:
            take()
    while waiting:
        take()
    return found


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_arm_runs_or_says_why(ended, row):
    text, left = ended[row.name]
    if text.startswith("skipped: "):
        pytest.skip(text.strip().removeprefix("skipped: "))
    assert "Traceback" not in text, text
    assert re.search(row.says, text, re.MULTILINE), text
    assert left == [], "temporary files are left"
