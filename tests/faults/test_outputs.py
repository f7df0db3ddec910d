"""What the suite writes: full disks, and files and folders that must stay or cannot be written."""

import builtins
import contextlib
import errno
import functools
import io
import json
import math
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import stored_runs
from harness import ROOT, Stage, run

from amx_suite.errors import LostChildError, OutputError
from amx_suite.files import locked_folder

pytestmark = pytest.mark.selftest

START, PREPARE, MEASURE, REPORT = Stage
SLOW = {"seconds": {"bf16@amx": 0.8}}
NO_AMX = {"usable": False}

#: The folder in which results are that found no room in their own.
SECOND = "tmp/amx-results-*"
QUALIFIED = r"^amx-suite: QUALIFIED \(exit code 0\)"
NO_ROOM_FOR_ARMS = ("INCONCLUSIVE: cannot write in tmp", "11 of 12 checks could not be decided")
CANNOT_WRITE = r"cannot write in \S+/amx-results: "


def full(*names, number=errno.ENOSPC):
    """Nothing can be written any more into these folders of a place."""

    def fault(place):
        folders = [getattr(place, name) for name in names]

        def refusing(function, writes):
            def call(path, *arguments, **named):
                place = None if isinstance(path, int) else Path(os.fsdecode(path)).absolute()
                inside = place is not None and any(map(place.is_relative_to, folders))
                if inside and writes(*arguments, **named):
                    raise OSError(number, os.strerror(number), str(path))
                return function(path, *arguments, **named)

            return call

        opens = refusing(io.open, lambda mode="r", *_, **__: set(mode) - set("rbt"))
        builtins.open = io.open = opens
        os.open = refusing(os.open, lambda flags, *_, **__: flags & (os.O_WRONLY | os.O_RDWR))
        os.mkdir = refusing(os.mkdir, lambda *_, **__: True)

    fault.__name__ = f"full {' '.join(names)}"
    return fault


def full_and_interrupted(place):
    full("output")(place)
    raise KeyboardInterrupt


def nothing(place):
    """No fault: the arguments are what is wrong."""


def killed(place):
    os.kill(os.getpid(), signal.SIGKILL)


def output_removed(place):
    shutil.rmtree(place.output)


def file_for_output(place):
    shutil.rmtree(place.output)
    place.output.write_text("in the way")


def link_for_summary(place):
    (place.output / "summary.md").rename(place.work / "precious")
    (place.output / "summary.md").symlink_to(place.work / "precious")


def folder_for_report(place):
    (place.output / "report.html").unlink()
    (place.output / "report.html").mkdir()


def file_for_checkpoints(place):
    (place.work / "new").write_text("in the way")


def failing(request, error):
    """An arm does not do what it is asked."""

    def fault(place):
        from fake_trial import FakeWorker

        def fail(*_):
            raise error

        setattr(FakeWorker, request, fail)

    fault.__name__ = f"{request} raises {type(error).__name__}"
    return fault


def label(value):
    """The fault and the stage of a row, for the test's id."""
    if isinstance(value, tuple):
        return f"{value[0].__name__} at {value[1].name}"
    return getattr(value, "__name__", None) or getattr(value, "name", None)


def check(place, row, *options, machine=None, left=()):
    """Run ``qualify`` with the row's fault; ``left`` are patterns of what is there afterwards."""
    fault, stage, code, says, results = row
    arguments = ("qualify", "--level", "2", *options)
    ended = run(place, *arguments, fault=lambda: fault(place), stage=stage, machine=machine)
    found = [path for pattern in left for path in place.folder.glob(pattern)]
    assert len(found) == len(left), f"exit code {ended.code}\n{ended.text}"
    names = [str(path.relative_to(place.folder)) for path in found]
    ended.check(code, says, results=results, left=names)
    return found


#: The fault, when it happens, and exit code, message and state of the output folder after it.
ROWS = [
    (full("output"), START, 2, CANNOT_WRITE + "No space left on device, on the file", "earlier"),
    (full("temporary"), START, 0, QUALIFIED, "new"),
    (full("temporary"), MEASURE, 0, QUALIFIED, "new"),
    (full("home", "cache", "data"), START, 0, QUALIFIED, "new"),
    (full("output", "temporary"), REPORT, 0, (r"^\*\*QUALIFIED: ", QUALIFIED), "earlier"),
    (output_removed, MEASURE, 0, QUALIFIED, "new"),
    (file_for_output, START, 2, CANNOT_WRITE, "none"),
    (folder_for_report, START, 2, "report.html' is a folder, which is not replaced", "mixed"),
    (failing("prepare", OutputError("cannot write in tmp")), START, 4, NO_ROOM_FOR_ARMS, "new"),
    (killed, PREPARE, -9, (), "earlier"),
    (killed, REPORT, -9, (), "earlier"),
]


@pytest.mark.parametrize("row", ROWS, ids=label)
def test_outputs_of_a_run(place, row):
    check(place, row)


#: When the output folder becomes full, on which machine, and the exit code and last line.
FULL_ROWS = [
    (full("output"), PREPARE, None, 0, QUALIFIED),
    (full("output"), MEASURE, SLOW, 1, r"^amx-suite: NOT QUALIFIED \(exit code 1\)"),
    (full("output"), REPORT, NO_AMX, 3, r"^amx-suite: AMX NOT USABLE \(exit code 3\)"),
    (full_and_interrupted, MEASURE, None, 4, r"\(exit code 4\): SIGINT ended the run early"),
    (full("output", number=errno.EDQUOT), REPORT, None, 0, QUALIFIED),
    (file_for_output, REPORT, None, 0, QUALIFIED),
    (folder_for_report, REPORT, None, 0, QUALIFIED),
]


@pytest.mark.parametrize(("fault", "stage", "machine", "code", "last"), FULL_ROWS, ids=label)
def test_results_move_to_a_second_place(place, fault, stage, machine, code, last):
    says = (
        f"^amx-suite: error: ({CANNOT_WRITE}|.*is a folder, ).*; what is there is not of this run",
        r"^amx-suite: results in \S+/tmp/amx-results-\w+: results.json, junit.xml, report.html, ",
        last,
    )
    results = {file_for_output: "none", folder_for_report: "mixed"}.get(fault, "earlier")
    row = (fault, stage, code, says, results)
    (second,) = check(place, row, machine=machine, left=[SECOND])
    stored = json.loads((second / "results.json").read_text())["amx_suite"]
    assert stored["trials"], "what was measured is there"
    assert len(list(second.iterdir())) == 4


#: As ``ROWS``, of a run that is to write checkpoints into a folder that is not there.
CHECKPOINT_ROWS = [
    (nothing, START, 0, QUALIFIED, "new"),
    (file_for_checkpoints, START, 2, r"cannot write in \S+/new/deep: Not a directory", "earlier"),
    (failing("checkpoint", OutputError("cannot write in new")), START, 0, QUALIFIED, "new"),
    (failing("checkpoint", LostChildError("arm", "it was killed")), START, 0, QUALIFIED, "new"),
]


@pytest.mark.parametrize("row", CHECKPOINT_ROWS, ids=label)
def test_checkpoints_cost_no_trial(place, row):
    check(place, row, "--level=3", "--checkpoint=new/deep", left=["work/new"])


#: As ``ROWS``, of pytest itself with more options; then what is left in the working folder.
PYTEST_ROWS = [
    (full("work"), REPORT, 0, ("files are incomplete: .*No space", "no summary.md: cannot"), "new"),
    (full("work"), START, 4, "^ERROR: cannot write in .*: No space left on device, on the", ""),
    (file_for_checkpoints, START, 4, "^ERROR: cannot write in .*/new: File exists", "new"),
    (nothing, START, 0, "passed", "new"),
]


@pytest.mark.parametrize("row", PYTEST_ROWS, ids=label)
def test_outputs_of_pytest_itself(place, row):
    fault, stage, code, says, left = row
    root = place.checkout
    options = [f"--rootdir={root}", f"--config-file={root / 'pytest.ini'}", str(root / "tests")]
    options += ["--noconftest", "-pno:cacheprovider", f"--benchmark-storage={root}"]
    options += ["--benchmark-json=new/rows.json", "--amx-output=amx-results"]
    work = functools.partial(pytest.main, options)
    ended = run(place, fault=lambda: fault(place), stage=stage, work=work)
    results = "mixed" if fault is nothing else "earlier"
    ended.check(code, says, results=results, left=[f"work/{left}"] if left else [])
    if not code:
        assert "AMX speedups" in ended.text


def test_link_among_results_stays(place):
    row = (link_for_summary, START, 2, "summary.md' is a symbolic link, which is not", "earlier")
    check(place, row, left=["work/precious"])


def test_bad_option_keeps_earlier_results(place):
    check(place, (nothing, START, 2, "absent.toml", "earlier"), "--gates=absent.toml")


def test_two_runs_in_one_folder(place):
    with locked_folder(place.output, None):
        row = (nothing, START, 2, "another run writes .*/amx-results; choose", "earlier")
        check(place, row)


#: A command on stored runs, exit code, and what is said. ``link`` is a symbolic link to ``a``.
#: DEVICE is a terminal. Broken code, run by root, would replace a device in /dev for good; nobody
#: can make files beside a terminal or in /dev/fd.
COMMAND_ROWS = [
    ("compare a b --json a", 2, "--json: 'a' is also read"),
    ("compare a b --markdown ./b", 2, "--markdown: 'b' is also read"),
    ("compare a b --json link", 2, "--json: 'link' is also read"),
    ("compare b c --json link", 2, "'link' is a symbolic link"),
    ("compare a b --json new --markdown new", 2, "--markdown: 'new' is also written by --json"),
    ("compare a b --json DEVICE", 2, "'/dev/pts/.*' is a device"),
    ("compare a b --markdown folder", 2, "'folder' is a folder"),
    ("compare a b --json a/new", 2, "cannot write in a: File exists"),
    ("compare a b --json -", 1, '^ *"change": "worse"'),
    ("compare a b --markdown /dev/fd/1", 1, r"^\*\*WORSE: 1 worse"),
    ("report a --output a", 2, "--output: 'a' is also read"),
    ("report a --output DEVICE", 2, "'/dev/pts/.*' is a device"),
    ("report a --output link", 2, "--output: 'link' is also read"),
    ("baseline a b c --output c", 2, "--output: 'c' is also read"),
    ("baseline a b c --output /dev/fd/99", 2, "cannot write to /dev/fd/99: Bad file descriptor"),
    ("export a b --format otava --output b", 2, "--output: 'b' is also read"),
    ("export a b --format prometheus --output link", 2, "--output: 'link' is also read"),
    ("export a b --format otava", 0, r"^2026-11-02T08:00:00\+00:00,\w+,,1 of 1,3\.6"),
]


@pytest.fixture
def stored(place):
    """Three stored runs, of which the second is slower, a link and a folder."""
    wobble = [0.01 * math.sin(n) for n in range(12)]
    for number, name in enumerate("abc"):
        logs = [stored_runs.LEVEL - 0.1 * (name == "b") + each for each in wobble]
        started = f"2026-11-0{number + 1}T08:00:00+00:00"
        stored_runs.write(place.work / name, stored_runs.summary(logs, started=started))
    (place.work / "link").symlink_to("a")
    (place.work / "folder").mkdir()
    return place


@pytest.fixture
def terminal():
    """The path of a terminal of our own."""
    ours, theirs = os.openpty()
    yield os.ttyname(theirs)
    os.close(ours)
    os.close(theirs)


def contents(folder):
    return {
        path: (path.lstat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in folder.iterdir()
    }


@pytest.mark.parametrize(("command", "code", "says"), COMMAND_ROWS)
def test_outputs_of_a_command(stored, terminal, command, code, says):
    before = contents(stored.work)
    ended = run(stored, *command.replace("DEVICE", terminal).split())
    left = [f"work/{name}" for name in ("a", "b", "c", "link", "folder")]
    ended.check(code, says, results="earlier", left=left)
    assert contents(stored.work) == before
    if code == 2:
        assert ended.text.count("\n") == 1


@pytest.mark.parametrize(
    "command",
    [
        "compare a b --json new",
        "report a",
        "report a --output x/y",
        "export a --format prometheus --output x",
    ],
)
def test_full_disk_of_a_command(stored, command):
    before = contents(stored.work)
    ended = run(stored, *command.split(), fault=lambda: full("work")(stored))
    assert (ended.code, ended.text.count("\n")) == (2, 1)
    assert "No space left on device, on the file system /" in ended.text
    assert contents(stored.work) == before


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 8 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if os.geteuid() or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system needs root and CAP_SYS_ADMIN")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def fill(folder):
    with contextlib.suppress(OSError), (folder / "filler").open("wb", buffering=0) as file:
        while file.write(bytes(2**16)):
            pass


def test_disk_really_full_at_the_end(place, small_disk, earlier):
    output = small_disk / "amx-results"
    shutil.copytree(earlier, output)
    options = ("--level", "2", "--output", output)
    ended = run(place, "qualify", *options, fault=lambda: fill(small_disk), stage=REPORT)
    (second,) = place.temporary.iterdir()
    told = f"cannot write in {output}: No space left on device, on the file system {small_disk};"
    ended.check(0, (told, QUALIFIED), results="earlier", left=[f"tmp/{second.name}"])
    assert {path.name for path in output.iterdir()} == {path.name for path in earlier.iterdir()}
    assert all((output / old.name).read_bytes() == old.read_bytes() for old in earlier.iterdir())


#: In a child whose TMPDIR is full: a kernel's log and, on the same disk, a checkpoint.
PROGRAM = """
import sys
from pathlib import Path
import torch
from amx_suite.errors import OutputError
from amx_suite.worker.arm import TrainingArm
from amx_suite.worker.kernel_log import kernel_log
product = lambda: torch.nn.functional.linear(*(torch.ones(64, 64).bfloat16(),) * 2)
print("onednn_verbose" in kernel_log(product))
module = torch.nn.Linear(999, 999)
optimizer = torch.optim.SGD(module.parameters())
case = type("Case", (), {"id": "case"})
arm = TrainingArm(case, None, None, "", 0, module, optimizer, iter(()))
try:
    arm.save(Path(sys.argv[1], "arm.pt"))
except OutputError as error:
    print(error)
"""


def test_real_torch_on_a_full_disk(small_disk):
    (small_disk / "arm.pt").write_text("former")
    fill(small_disk)
    environ = {**os.environ, "TMPDIR": str(small_disk), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PROGRAM, str(small_disk)]
    ran = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    logged, told = ran.stdout.splitlines()
    assert logged == "True"
    assert f"arm.pt' cannot be written: cannot write in {small_disk}: No space left" in told
    assert sorted(path.name for path in small_disk.iterdir()) == ["arm.pt", "filler"]
    assert (small_disk / "arm.pt").read_text() == "former"


def test_real_child_without_room_is_undecided(small_disk, monkeypatch):
    from amx_suite.child.handle import Child

    used = os.statvfs(small_disk)
    remount = f"remount,nr_inodes={used.f_files - used.f_ffree}"
    subprocess.run(["mount", "-o", remount, str(small_disk)], check=True)
    monkeypatch.setattr("tempfile.tempdir", str(small_disk))
    monkeypatch.setenv("TMPDIR", str(small_disk))
    told = f"cannot write in {small_disk}: No space left on device, on .* {small_disk}; free"
    with pytest.raises(OutputError, match=told):
        Child("fake_handlers:echo", label="fake")
