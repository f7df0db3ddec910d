"""How a run ends: by signals, and when the machine changes."""

import contextlib
import fcntl
import os
import signal
import termios
import time
from functools import partial

import msgspec
import pytest
from fake_handlers import OBEDIENT, Do, Told
from harness import Stage, run

from amx_suite import cli
from amx_suite.child.handle import Child

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
    ended.check(4, "preparing")
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
