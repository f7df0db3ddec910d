"""How a run ends: by signals, by limits of the operating system, and when the machine changes."""

import contextlib
import fcntl
import os
import resource
import signal
import subprocess
import sys
import tempfile
import termios
import time
from functools import partial
from pathlib import Path

import msgspec
import pytest
from fake_handlers import OBEDIENT, Do, Told
from harness import ROOT, Stage, run

from amx_suite import cli
from amx_suite.child.cgroups import groups
from amx_suite.child.handle import Child
from amx_suite.errors import LimitReachedError, LostChildError

pytestmark = pytest.mark.selftest

INT, TERM, HUP, KILL = signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL


def send(number):
    os.kill(os.getpid(), number)


def with_child(number):
    """Start a real child with a process in a session of its own, then send the signal."""
    child = Child(OBEDIENT, label="busy")
    child.ask(Do("daemon"), Told)
    child.ask(Do("folder"), Told)
    send(number)
    child.ask(Do("sleep", 60), Told, seconds=60)


def twice(first, second, where):
    """Send the first signal now, and the second at that function of the command line's own."""
    from amx_suite.cli import qualify
    from amx_suite.plugin.run import Run

    owner = {"finish": Run, "_publish": qualify}[where]
    setattr(owner, where, lambda *arguments: send(second))
    first()


def ended_by(place):
    results = msgspec.json.decode((place.output / "results.json").read_bytes())
    return results["amx_suite"]["ended_by"]


#: The signal, the stage, and how the fault sends it.
ENDED_IN_ORDER = [
    (INT, Stage.MEASURE, send),
    (TERM, Stage.PREPARE, send),
    (TERM, Stage.MEASURE, with_child),
    (TERM, Stage.REPORT, send),
    (HUP, Stage.MEASURE, send),
]


@pytest.mark.parametrize(("number", "stage", "fault"), ENDED_IN_ORDER)
def test_one_signal_writes_what_was_measured(place, number, stage, fault):
    ended = run(place, "qualify", fault=partial(fault, number), stage=stage)
    ended.check(4, f"^interrupted by {number.name}: ")
    told = f"amx-suite: INCONCLUSIVE (exit code 4): {number.name} ended the run early; "
    assert ended.text.splitlines()[-1].startswith(told)
    assert ended_by(place) == number.name
    assert "NO_EVIDENCE" not in ended.text, "that would be a finding about the engine"


#: The two signals, how the first is sent, and where in the run's end the second comes.
ENDED_AT_ONCE = [
    (INT, INT, send, "_publish"),
    (TERM, INT, with_child, "finish"),
    (HUP, TERM, with_child, "_publish"),
]


@pytest.mark.parametrize(("first", "second", "how", "where"), ENDED_AT_ONCE)
def test_second_signal_leaves_nothing(place, first, second, how, where):
    fault = partial(twice, partial(how, first), second, where)
    ended = run(place, "qualify", fault=fault, stage=Stage.MEASURE)
    told = rf"^amx-suite: a second signal \({second.name}\) ended it at once$"
    assert place.results != "mixed"
    ended.check(4, told, results=place.results)


def test_killed_run_leaves_no_child(place):
    ended = run(place, "qualify", fault=partial(with_child, KILL), stage=Stage.MEASURE)
    assert ended.code == -KILL
    assert ended.processes == []
    assert list(place.temporary.iterdir()) == []


@pytest.mark.parametrize("number", [INT, TERM, HUP])
def test_plain_pytest_leaves_nothing(place, number):
    """Where the signal ends it at once, too."""
    tests = place.checkout / "tests" / "performance"
    options = ("--rootdir", place.checkout, "-c", place.checkout / "pytest.ini", "--noconftest")
    caches = ("-p", "no:cacheprovider", "--benchmark-storage", place.output)

    def pytest_itself():
        return pytest.main([*map(str, (*options, *caches, tests))])

    fault = partial(with_child, number)
    ended = run(place, fault=fault, stage=Stage.MEASURE, work=pytest_itself)
    assert ended.code == (pytest.ExitCode.INTERRUPTED if number is INT else -number)
    assert (ended.processes, place.left_behind()) == ([], [])


def test_ignored_signal_stays_ignored(place):
    """As under ``nohup``."""

    def ignoring():
        signal.signal(HUP, signal.SIG_IGN)
        return cli.main(["qualify"])

    ended = run(place, fault=partial(send, HUP), stage=Stage.MEASURE, work=ignoring)
    ended.check(0, "^amx-suite: QUALIFIED")


class Terminal:
    """A terminal that this process gets, and that a process of its own shows on standard output."""

    def open(self):
        master, slave = os.openpty()
        shown, self.shower = os.dup(1), os.fork()
        if not self.shower:
            os.close(slave)
            with contextlib.suppress(OSError):
                while data := os.read(master, 4096):
                    os.write(shown, data)
            os._exit(0)
        os.close(master)
        os.close(shown)
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
        for descriptor in (0, 1, 2):
            os.dup2(slave, descriptor)
        os.close(slave)

    def close(self):
        os.kill(self.shower, KILL)
        os.waitpid(self.shower, 0)
        time.sleep(0.2)  # the signal comes meanwhile


def test_closed_terminal_loses_nothing(place):
    terminal = Terminal()

    def on_terminal():
        terminal.open()
        return cli.main(["qualify"])

    ended = run(place, fault=terminal.close, stage=Stage.MEASURE, work=on_terminal)
    ended.check(4, "AMX: usable")
    assert ended_by(place) == "SIGHUP"


def test_no_folder_of_hypothesis_or_benchmarks(place, tmp_path):
    """Both plugins would make one in the user's working folder."""
    from hypothesis import configuration

    test = place.checkout / "tests" / "detection" / "test_it.py"
    test.parent.mkdir()
    test.write_text(
        "import pytest\n"
        "from hypothesis import given, strategies\n"
        "@pytest.mark.detection\n"
        "@given(strategies.text())\n"
        "def test_text(text): assert text is not None\n"
    )
    try:
        configuration.set_hypothesis_home_dir(None)
        run(place, "qualify").check(0, "^amx-suite: QUALIFIED")
    finally:
        test.unlink()
        test.parent.rmdir()


def no_more_files():
    soft = max(int(entry.name) for entry in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, soft))
    with contextlib.suppress(OSError):
        while True:
            os.dup(0)


def no_more_address_space():
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + (64 << 20),) * 2)


def fail_with(error):
    raise error


def start_child(command="echo", argument=0):
    with Child(OBEDIENT, label="arm") as child:
        child.ask(Do(command, argument), Told)


#: What is injected at which stage, and what is said of it.
LIMITS = {
    "memory of an arm": (
        {"machine": {"faults": {"bf16@amx prepare": "memory"}}},
        "INCONCLUSIVE: fake: memory ran out",
    ),
    "threads": (
        {
            "fault": partial(fail_with, RuntimeError("can't start new thread")),
            "stage": Stage.MEASURE,
        },
        "INCONCLUSIVE: no more processes or threads may be started",
    ),
    "open files": (
        {"fault": partial(fail_with, OSError(24, "Too many open files")), "stage": Stage.PREPARE},
        "INCONCLUSIVE: the limit of open files is reached",
    ),
    "memory of the parent": (
        {"fault": partial(fail_with, MemoryError()), "stage": Stage.PREPARE},
        "INCONCLUSIVE: memory ran out; ",
    ),
}


@pytest.mark.parametrize(("injected", "says"), LIMITS.values(), ids=LIMITS)
def test_reached_limit_is_inconclusive(place, injected, says):
    run(place, "qualify", **injected).check(4, [says, "^amx-suite: INCONCLUSIVE"])


#: The limit, the child's request, and the error that names it.
CHILDREN = {
    "files": (no_more_files, (), "could not be started.*the limit of open files is reached"),
    "address space at the start": (
        partial(resource.setrlimit, resource.RLIMIT_AS, (16 << 20, -1)),
        (),
        r"child process arm: .*the limit of address space is reached \(ulimit -v: 16384 KiB\)",
    ),
    "address space": (
        no_more_address_space,
        ("allocate", 2000),
        "the limit of address space is reached .*MemoryError",
    ),
}


@pytest.mark.parametrize(("limit", "request_", "says"), CHILDREN.values(), ids=CHILDREN)
def test_child_at_a_limit_is_typed(place, limit, request_, says):
    def work():
        tempfile.gettempdir()  # it is asked for once, and tries to write
        limit()
        try:
            start_child(*request_)
        except LimitReachedError as error:
            print(str(error).partition("\n")[0])
            return 0

    ended = run(place, work=work)
    ended.check(0, says, results="earlier")


@pytest.fixture
def cgroup():
    """Makes a control group below this process's own, with a limit; removes it afterwards."""
    made = []

    def make(controller, limits):
        for folder, version in groups(controller):
            new = folder / f"amx-faults-{os.getpid()}"
            try:
                new.mkdir()
                made.append(new)
                name, value = limits[version]
                (new / name).write_text(value)
            except OSError as error:
                pytest.skip(f"this process may make no control group of {controller}: {error}")
            return new
        pytest.skip(f"no control group of {controller} is mounted")

    yield make
    for folder in made:
        folder.rmdir()


def test_doctor_without_room_blames_no_installation():
    """LLVM does not load then, and llvmlite advises to install it."""
    most = 100 * 2**20
    done = subprocess.run(
        [sys.executable, "-m", "amx_suite", "doctor"],
        cwd=ROOT,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (most, most)),
        capture_output=True,
        text=True,
        check=False,
    )
    text = " ".join(done.stdout.split())
    assert (done.returncode, done.stderr) == (3, "")
    assert (
        "CPUID could not be read: the limit of address space is reached (ulimit -v: 102400" in text
    )


def test_processes_run_out(place, cgroup):
    group = cgroup("pids", dict.fromkeys((1, 2), ("pids.max", "1")))

    def work():
        (group / "cgroup.procs").write_text(str(os.getpid()))
        return cli.main(["doctor"])

    says = r"no more processes or threads may be started \(ulimit -u: \w+, pids.max: 1\)"
    run(place, work=work).check(4, f"^amx-suite: error: .*{says}", results="earlier")


@pytest.mark.parametrize(
    ("command", "argument", "kind", "says"),
    [
        ("allocate", 500, "LostToLimitError", "killed by SIGKILL: the kernel ran out of memory; "),
        ("signal", KILL, "LostChildError", "killed by SIGKILL$"),
    ],
)
def test_killed_for_memory_is_told_apart(place, cgroup, command, argument, kind, says):
    size = str(200 << 20)
    group = cgroup("memory", {1: ("memory.limit_in_bytes", size), 2: ("memory.max", size)})

    def work():
        (group / "cgroup.procs").write_text(str(os.getpid()))
        try:
            start_child(command, argument)
        except LostChildError as error:
            print(type(error).__name__, str(error).partition("\n")[0])
        return 0

    run(place, work=work).check(0, f"^{kind} .*{says}", results="earlier")


def stand_still():
    import fake_machine

    fake_machine._WORLD.now += 60 * fake_machine._HASTE


def suspend():
    import fake_machine

    fake_machine._WORLD.suspended = lambda: 600.0


def step_clock(seconds):
    now = time.time
    time.time = lambda: now() + seconds


#: What is injected, and what is said of it.
CHANGES = {
    "pause": (
        {"fault": stand_still, "stage": Stage.MEASURE},
        "this process stood still for 5. s while an arm was timed",
    ),
    "suspend": (
        {"fault": suspend, "stage": Stage.MEASURE},
        "the machine was suspended for 600 s",
    ),
    "CPUs in a round": (
        {"machine": {"faults": {"bf16@amx slice": "moved"}}},
        "was bound to CPUs 0, 1 and now may use 0",
    ),
    "CPUs in preparation": (
        {"machine": {"faults": {"bf16@amx prepare": "moved"}}},
        "was bound to CPUs 0, 1 and now may use 0",
    ),
}


@pytest.mark.parametrize(("injected", "says"), CHANGES.values(), ids=CHANGES)
def test_changed_machine_is_inconclusive(place, injected, says):
    ended = run(place, "qualify", **injected)
    remedy = "; keep the machine awake and its CPUs as they are, and run it again"
    ended.check(4, [f"INCONCLUSIVE: .*{says}.*{remedy}", "^amx-suite: INCONCLUSIVE"])


@pytest.mark.parametrize("seconds", [86400 * 365, -86400])
def test_step_of_the_clock_changes_nothing(place, seconds):
    fault = partial(step_clock, seconds)
    run(place, "qualify", fault=fault, stage=Stage.MEASURE).check(0, "^amx-suite: QUALIFIED")
