"""Standard streams that are closed, full, without a reader, or know few letters.

What people read degrades, and the exit code is the verdict's. What a program asked for is complete,
or the exit code says that it is not.
"""

import functools
import math
import os
import subprocess
import sys

import pytest
import stored_runs
from harness import Stage, run
from processes import Forked

from amx_suite.report.mismatch import store_mismatch
from amx_suite.tmul.batch import BatchResult, Mismatch, TileBatch

pytestmark = pytest.mark.selftest

WARNING = r"^amx-suite: warning: standard output cannot be written \(No space left on device\), so"
ERROR = r"^amx-suite: error: .*No space left on device"
#: Nothing is printed, or nowhere.
NOTHING = ()


def letters(encoding):
    """A terminal of that encoding."""

    def narrow():
        for name, number in (("stdout", 1), ("stderr", 2)):
            setattr(sys, name, os.fdopen(number, "w", encoding=encoding, closefd=False))

    return narrow


def leads_to(path, *numbers):
    def lead():
        opened = os.open(path, os.O_WRONLY)
        for number in numbers:
            os.dup2(opened, number)

    return lead


def reader_has_gone():
    reading, writing = os.pipe()
    os.close(reading)
    os.dup2(writing, 1)


def closed(*numbers):
    def close():
        for number in numbers:
            setattr(sys, ("stdin", "stdout", "stderr")[number], None)
            os.close(number)

    return close


ASCII, LATIN_1 = letters("ascii"), letters("latin-1")
FULL, BOTH_FULL = leads_to("/dev/full", 1), leads_to("/dev/full", 1, 2)
CLOSED, ALL_CLOSED, NO_INPUT = closed(1), closed(0, 1, 2), closed(0)

#: Each row: the command (``files`` has its arguments), the streams, the exit code, what is printed.
ROWS = [
    ("qualify", ASCII, 0, ["^ -----+$", r"^amx-suite: QUALIFIED \(exit code 0\)"]),
    ("qualify", FULL, 0, WARNING),
    ("qualify", BOTH_FULL, 0, NOTHING),
    ("qualify", ALL_CLOSED, 0, NOTHING),
    ("qualify", reader_has_gone, 0, NOTHING),
    ("doctor", ASCII, 0, "^AMX is usable"),
    ("doctor", FULL, 0, WARNING),
    ("doctor", CLOSED, 0, r"written \(it is closed\), so what was printed is not complete$"),
    ("doctor", NO_INPUT, 0, "^AMX is usable"),
    ("doctor", ALL_CLOSED, 0, NOTHING),
    ("doctor --json", FULL, 2, ERROR),
    ("doctor --json", ALL_CLOSED, 2, NOTHING),
    ("list", ASCII, 0, "^level 1, engine ipex"),
    ("list", LATIN_1, 0, ["^ -----+$", "^level 1, engine ipex"]),
    ("list", FULL, 0, WARNING),
    ("list", reader_has_gone, 0, NOTHING),
    ("list --json", reader_has_gone, 141, NOTHING),
    ("list --gates résumé", ASCII, 2, r"^amx-suite: error: .*r\\xe9sum\\xe9"),
    ("list --gates nowhere", BOTH_FULL, 2, NOTHING),
    ("list --gates nowhere", ALL_CLOSED, 2, NOTHING),
    ("list --help", FULL, 0, WARNING),
    ("calibrate", ASCII, 0, "^amx-suite: stored in"),
    ("calibrate", FULL, 0, WARNING),
    ("calibrate", ALL_CLOSED, 0, NOTHING),
    ("compare slower", ASCII, 1, "WORSE: 1 worse"),
    ("compare slower", FULL, 1, WARNING),
    ("compare slower", ALL_CLOSED, 1, NOTHING),
    ("baseline", ASCII, 0, "^minimum = 3.00"),
    ("baseline", FULL, 2, ERROR),
    ("export --format=prometheus", ASCII, 0, r"^amx_suite_exit_code\{.*\} 0\.0"),
    ("export --format=otava", FULL, 2, ERROR),
    ("export --format=otava", reader_has_gone, 141, NOTHING),
    ("report", ASCII, 0, "^amx-suite: report in"),
    ("report", FULL, 0, WARNING),
    ("report --output -", FULL, 2, ERROR),
    ("replay", ASCII, 0, "^amx-suite: RIGHT 1000 times"),
    ("replay", FULL, 0, WARNING),
    ("replay", ALL_CLOSED, 0, NOTHING),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """What commands read: three runs of one gate, a slower one, and a wrong tile."""
    folder = tmp_path_factory.mktemp("files")
    level = stored_runs.LEVEL
    for name, logs in {"a": [level] * 12, "slower": [level - 0.2] * 12}.items():
        stored_runs.write(folder / f"{name}.json", stored_runs.summary(logs))
    for day in (1, 2, 3):
        accepted = stored_runs.summary([math.log(4.0)] * 12, started=f"2026-11-0{day}T08:00:00")
        stored_runs.write(folder / f"machine-{day}.json", accepted)
    wrong = BatchResult(
        TileBatch("tdpbssd", "wrap", 3, tiles=2), 1, 256, 1, Mismatch(0, 0, 5, 1, 2, b"", b"", b"")
    )
    store_mismatch(folder, {}, wrong).rename(folder / "wrong.json")
    return folder


def arguments_of(command, files, place):
    name, *more = command.split()
    own = {
        "compare": [files / "a.json"],
        "baseline": sorted(files.glob("machine-*.json")),
        "export": sorted(files.glob("machine-*.json")),
        # Not beside the results, where it would replace that of the run.
        "report": [place.output / "results.json", "--output", place.folder / "page.html"],
        "replay": [files / "wrong.json"],
    }
    if name == "compare":
        more = [files / f"{each}.json" for each in more]
    return [name, *own.get(name, []), *more]


def fake_host():
    """The commands but ``qualify`` know no fake machine; in the run's process."""
    import fake_machine
    from fake_trial import FakeProber, World

    from amx_suite.cli import calibrate, doctor, replay

    class RightTiles:
        def __init__(self, cpu):
            pass

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

        def rerun_tile(self, wrong):
            return BatchResult(wrong.batch, 1, 256, 0)

    world = World()
    for module in (calibrate, doctor, replay):
        module.detect = fake_machine._detect
    doctor.read_health = functools.partial(fake_machine._health, "before")
    replay.TileWorker = RightTiles
    calibrate.UnitProbe = lambda cpus: FakeProber(world)
    calibrate.calibrate = functools.partial(calibrate.calibrate, clock=lambda: world.now)


@pytest.mark.parametrize(
    ("command", "streams", "code", "says"),
    [pytest.param(*row, id=f"{row[0]}-{n}") for n, row in enumerate(ROWS)],
)
def test_exit_code_is_the_verdicts(place, files, command, streams, code, says):
    def fault():
        fake_host()
        sys.stderr = os.fdopen(2, "w", closefd=False)  # not the same stream as standard output
        streams()

    ended = run(place, *arguments_of(command, files, place), fault=fault)
    ended.check(code, says, results="new" if command == "qualify" else "earlier")
    if streams is ASCII:
        assert ended.text.isascii()


def test_disk_fills_before_the_results(place):
    """What was measured is written."""
    ended = run(place, "qualify", fault=FULL, stage=Stage.REPORT)
    ended.check(0, ["^trial 1 of 1", WARNING])


class TestRealProcess:
    """Started by a shell, on this host, with real children."""

    @pytest.fixture
    def shell(self, tmp_path):
        def start(command):
            full = f"exec {sys.executable} -m amx_suite {command}"
            own = {**os.environ, "PYTHONIOENCODING": "ascii"}
            work = functools.partial(subprocess.call, ["sh", "-c", full])
            return Forked(work, tmp_path, own).wait()

        return start

    def test_doctor_with_all_closed(self, shell):
        done = shell("doctor <&- >&- 2>&-")
        assert (done.returncode, done.stdout) in ((0, ""), (3, ""))

    def test_listing_for_a_full_disk(self, shell):
        done = shell("list --json > /dev/full")
        assert done.returncode == 2
        assert done.stdout.startswith("amx-suite: error: standard output cannot be written")
        assert done.stdout.count("\n") == 1
