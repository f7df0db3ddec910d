"""Faults of the surroundings: variables, accounts, folders, and what a hardened kernel refuses."""

import contextlib
import functools
import json
import os
import pwd
import subprocess
import sys
import tempfile
import warnings
from typing import NamedTuple

import pytest
from hardened import mount, run_without_executable_memory, why_no_mount
from harness import ROOT, Ended, Stage, run

from amx_suite.host import lock

pytestmark = pytest.mark.selftest

QUALIFIED = "^amx-suite: QUALIFIED"
#: The quiet reference cannot be stored, which is no reason to end.
NOT_STORED = r"quiet reference was not stored: .*name one in XDG_DATA_HOME, or a file with --ref"


def no_account():
    """The user's id is in no table of accounts."""

    def lookup(number):
        raise KeyError(f"getpwuid(): uid not found: {number}")

    pwd.getpwuid = lookup


def warnings_are_errors():
    """As Python starts with PYTHONWARNINGS=error."""
    sys.warnoptions.append("error")
    warnings.simplefilter("error")


def no_temporary_folder():
    tempfile._candidate_tempdir_list = lambda: ["/nowhere/at/all"]


def working_folder_is_gone():
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)


def workers_are_told_of_variables():
    """The fake workers remove the same variables as the real ones."""
    from fake_trial import FakeWorker

    from amx_suite.core.isa import Isa
    from amx_suite.worker.process import child_environment

    FakeWorker.environment = property(
        lambda self: child_environment(Isa.AMX, 2, os.environ, {}), lambda self, value: None
    )


def home_becomes(kind, place):
    """The folder of the user's data cannot be written any more."""
    if kind == "file":
        place.data.rmdir()
        place.data.touch()
    else:
        mount(place.data, read_only=True)


def lock_is_read_only(place):
    """As /tmp in a container with a read-only root and TMPDIR elsewhere."""
    folder = place.folder / "read-only"
    folder.mkdir()
    mount(folder, read_only=True)
    lock.LOCK_PATH = folder / "machine.lock"


class Row(NamedTuple):
    """One injection into ``qualify``: what happens when, and what the user sees."""

    kind: str
    stage: Stage = Stage.START
    #: Called with the place, in the run's process.
    fault: object = None
    environ: tuple = ()
    code: int = 0
    says: object = QUALIFIED
    results: str = "new"
    left: tuple = ()

    def __str__(self):
        return f"{self.kind} at {self.stage.name.lower()}".replace(" ", "-")


def here(action):
    """An action that needs no place."""
    return lambda place: action()


ROWS = [
    Row("warnings are errors", fault=here(warnings_are_errors)),
    Row("warnings are errors", Stage.REPORT, here(warnings_are_errors)),
    Row("no account", fault=here(no_account)),
    Row("no account", Stage.REPORT, here(no_account)),
    Row(
        "no account and no names",
        fault=here(no_account),
        environ=(("USER", None), ("LOGNAME", None), ("HOME", None)),
    ),
    Row(
        "no account and no folders",
        fault=here(no_account),
        environ=(("HOME", None), ("XDG_DATA_HOME", None), ("XDG_CACHE_HOME", None)),
        says=(r"quiet reference was not stored: this user \(id \d+\) has no home", QUALIFIED),
    ),
    Row(
        "relative HOME",
        fault=here(no_account),
        environ=(("HOME", "somewhere"), ("XDG_DATA_HOME", None)),
        says=(r"has no home folder.*XDG_DATA_HOME", QUALIFIED),
    ),
    Row("relative XDG_CACHE_HOME", environ=(("XDG_CACHE_HOME", "cache"),)),
    Row("relative XDG_DATA_HOME", environ=(("XDG_DATA_HOME", "x"),), left=("home/.local",)),
    Row(
        "data folder is a file",
        fault=functools.partial(home_becomes, "file"),
        says=(NOT_STORED, QUALIFIED),
    ),
    Row(
        "data folder is read-only",
        fault=functools.partial(home_becomes, "read-only"),
        says=(NOT_STORED, QUALIFIED),
    ),
    Row("data folder is read-only", Stage.MEASURE, functools.partial(home_becomes, "read-only")),
    Row("folder of the lock is read-only", fault=lock_is_read_only),
    Row(
        "no temporary folder",
        fault=here(no_temporary_folder),
        code=2,
        says="error: no folder for temporary files can be written.*name one in TMPDIR",
        results="earlier",
    ),
    Row(
        "working folder is gone",
        fault=here(working_folder_is_gone),
        code=2,
        says="error: the working folder cannot be used .*change to one that exists",
        results="earlier",
    ),
]


@pytest.fixture(scope="module")
def mounts():
    if reason := why_no_mount():
        pytest.skip(reason)


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_surroundings_end_no_run(row, place, request):
    if "read-only" in row.kind:
        request.getfixturevalue("mounts")
    fault = functools.partial(row.fault, place) if row.fault else None
    ended = run(place, "qualify", fault=fault, stage=row.stage, environ=row.environ)
    ended.check(row.code, row.says, results=row.results, left=row.left)


def test_noexec_cache_is_not_used(place, mounts):
    """The compiler's libraries then go to the child's temporary folder."""

    def work():
        from amx_suite.core.isa import Isa
        from amx_suite.engines.inductor import Inductor

        for noexec in (False, True):
            mount(place.cache, noexec=noexec)
            print(noexec, "TORCHINDUCTOR_CACHE_DIR" in Inductor().variables(Isa.AMX))
        return 0

    run(place, work=work).check(0, ("False True", "True False"), results="earlier")


#: Variables that hold a secret: name, and whether the workers do not get it.
SECRETS = {
    "HF_TOKEN": False,
    "HTTPS_PROXY": False,
    "TORCHINDUCTOR_REDIS_URL": True,
    "TORCH_LOGS": True,
    "MKL_SECRET": True,
}


def test_no_result_holds_a_secret(place):
    environ = {name: f"http://joe:hunter2-{name}@proxy" for name in SECRETS}
    environ |= {"OMP_NUM_THREADS": "64"}
    run(place, "qualify", fault=workers_are_told_of_variables, environ=environ.items()).check(
        0, QUALIFIED
    )
    texts = {path.name: path.read_text() for path in place.output.iterdir()}
    assert not [name for name, text in texts.items() if "hunter2" in text]
    (trial, *_) = json.loads(texts["results.json"])["amx_suite"]["trials"]
    named = trial["measurement"]["environment"]["removed_variables"]
    removed = {name: "" for name, gone in SECRETS.items() if gone}
    assert removed | {"OMP_NUM_THREADS": "64"} == {n: named[n] for n in named if n in environ}
    assert "OMP_NUM_THREADS 64" in texts["report.html"]


def test_reports_of_old_files_show_no_secret(place):
    """Known-bad: a results file of before, which holds every value."""
    path = place.output / "results.json"
    content = json.loads(path.read_text())
    for trial in content["amx_suite"]["trials"]:
        secrets = {"TORCH_TOKEN": "hunter2", "OMP_NUM_THREADS": "64"}
        trial["measurement"]["environment"]["removed_variables"] = secrets
    path.write_text(json.dumps(content))
    ended = run(place, "report", path, "--output", place.output / "report.html")
    assert ended.code == 0, ended.text
    page = (place.output / "report.html").read_text()
    assert "OMP_NUM_THREADS 64, TORCH_TOKEN" in page
    assert "hunter2" not in page


#: Variables of a shell with which ``doctor`` says the same as without.
SHELLS = {
    "warnings are errors": {"PYTHONWARNINGS": "error"},
    "optimized": {"PYTHONOPTIMIZE": "2"},
    "developer mode": {"PYTHONDEVMODE": "1"},
    "no home": {"HOME": None, "USER": None, "LOGNAME": None},
    "relative home": {"HOME": "here", "XDG_CACHE_HOME": "here", "XDG_DATA_HOME": "here"},
    "no PATH": {"PATH": None},
    "torch and jit": {"TORCH_LOGS": "+all", "PYTORCH_JIT": "0", "TORCHINDUCTOR_CACHE_DIR": "/proc"},
    "no TMPDIR": {"TMPDIR": "/nowhere"},
}


def doctor(folder, prefix=(), options=(), **environ):
    """The real ``doctor`` with real children, in a fresh process: (exit code, what it prints)."""
    own = {**os.environ, "PYTHONPATH": str(ROOT), "TMPDIR": str(folder), **environ}
    done = subprocess.run(
        [*prefix, sys.executable, *options, "-m", "amx_suite", "doctor", "--json"],
        env={name: value for name, value in own.items() if value is not None},
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert not list(folder.iterdir()), "files are left"
    return done.returncode, done.stdout


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    """What doctor says without a fault."""
    code, text = doctor(tmp_path_factory.mktemp("healthy"))
    assert code in (0, 3), text
    return code, json.loads(text)["reason"]


def verdict(code, text):
    with contextlib.suppress(ValueError):
        return code, json.loads(text)["reason"]
    return code, text


@pytest.mark.parametrize("environ", SHELLS.values(), ids=list(SHELLS))
def test_doctor_in_any_shell(environ, healthy, tmp_path):
    assert verdict(*doctor(tmp_path, **environ)) == healthy


def test_doctor_where_python_ignores_the_shell(healthy, tmp_path):
    """Its children must not look for Python where PYTHONHOME says, either."""
    # -E ignores PYTHONPATH too.
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from amx_suite.cli import main; "
    done = subprocess.run(
        [sys.executable, "-E", "-c", code + "sys.exit(main(['doctor', '--json']))"],
        env={**os.environ, "PYTHONHOME": "/nowhere"},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert verdict(done.returncode, done.stdout) == healthy


#: As root, another user's id, which may read this checkout wherever it lies.
UNKNOWN_USER = (
    *("setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"),
    *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
)


@pytest.fixture(scope="module")
def unknown_user():
    try:
        done = subprocess.run([*UNKNOWN_USER, "true"], capture_output=True, check=False)
    except FileNotFoundError:
        pytest.skip("setpriv (util-linux) is not installed")
    if done.returncode != 0:
        pytest.skip("only root can take a user id without an account")
    return UNKNOWN_USER


def test_doctor_for_a_user_without_account(healthy, unknown_user, tmp_path):
    tmp_path.chmod(0o777)
    nameless = {"HOME": None, "USER": None, "LOGNAME": None}
    assert verdict(*doctor(tmp_path, unknown_user, **nameless)) == healthy


def test_calibrate_names_the_folder_before_it_reads(place):
    place.data.rmdir()
    place.data.touch()
    run(place, "calibrate").check(2, "error: .*name one in XDG_DATA_HOME", results="earlier")


@pytest.mark.parametrize(
    "arguments",
    # Level 2 starts workers of every arm, which refuse before they import torch.
    [("doctor",), ("qualify", "--level=2", "--output=amx-results")],
    ids=["doctor", "qualify"],
)
def test_no_executable_memory_is_a_reason(arguments, place):
    """The real command with real children: LLVM would die of SIGSEGV."""
    code = (
        f"import os; os.chdir({str(place.work)!r})\n"
        "from pathlib import Path; from amx_suite.host import lock\n"
        f"lock.LOCK_PATH = Path({str(place.folder / 'machine.lock')!r})\n"
        f"from amx_suite.cli import main; raise SystemExit(main({arguments!r}))"
    )
    done = run_without_executable_memory(
        code, PYTHONPATH=str(ROOT), TMPDIR=str(place.temporary), XDG_DATA_HOME=str(place.data)
    )
    results = "new" if "qualify" in arguments else "earlier"
    Ended(done.returncode, done.stdout, place, []).check(
        3, ("cpuid-unreadable", "MemoryDenyWriteExecute=no"), results=results
    )
    assert " failed" not in done.stdout
    assert ("qualify" in arguments) == ("amx arms: none is measured" in done.stdout)
