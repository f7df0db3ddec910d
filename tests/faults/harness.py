"""Injects a fault at a stage of a real run of the command line, and says what became of it.

The run is a fork of this process on the fake machine: ``fake_machine`` is the one test seam. It
stands in for the host and the workers; the command line, pytest, the plugin, the decision and all
files are real. So most injections need no torch and end within a second.
"""

import contextlib
import enum
import json
import os
import re
import shutil
import sys
import uuid
from pathlib import Path

import psutil
from processes import Forked, gone

from amx_suite import cli
from amx_suite.cli import qualify
from amx_suite.cli.qualify import RESULT_FILES
from amx_suite.host import lock

ROOT = Path(__file__).resolve().parents[2]

#: The run's processes have this variable, so that those it left behind are found.
_MARK = "AMX_FAULTS_MARK"

#: What no user may see, whatever went wrong.
_NEVER = re.compile(r"Traceback \(most recent call last\)|INTERNALERROR|Segmentation fault")


class Stage(enum.Enum):
    """When a fault happens."""

    #: Before the command line is called.
    START = enum.auto()
    #: When the first arm is prepared.
    PREPARE = enum.auto()
    #: When the seventh slice is taken: a round has been measured.
    MEASURE = enum.auto()
    #: When the last test has ended, before a result file is written.
    REPORT = enum.auto()


class Place:
    """The folders of one run: a user's working folder, home, TMPDIR, and XDG folders.

    ``output`` is where results go. ``checkout`` holds the conformance tests.
    """

    def __init__(self, folder, checkout):
        self.folder, self.checkout = folder, checkout
        self.work, self.home, self.temporary = (folder / n for n in ("work", "home", "tmp"))
        self.data, self.cache = folder / "data", folder / "cache"
        for each in (self.work, self.home, self.temporary, self.data, self.cache):
            each.mkdir(parents=True)
        self.output = self.work / "amx-results"
        self._earlier = {}

    def put_earlier_results(self, source):
        """Have the results of an earlier run in the output folder."""
        shutil.copytree(source, self.output)
        self._earlier = self._results()

    def _results(self):
        found = {name: self.output / name for name in RESULT_FILES}
        # A second run's summary may say the same as the first one's.
        return {
            name: (path.stat().st_mtime_ns, path.read_bytes())
            for name, path in found.items()
            if path.is_file()
        }

    @property
    def results(self):
        """``earlier``, ``new``, ``none``, or ``mixed`` where some files are and others are not."""
        found = self._results()
        if not found:
            return "none"
        if found == self._earlier:
            return "earlier"
        same = [name for name in found if found[name] == self._earlier.get(name)]
        return "new" if len(found) == len(RESULT_FILES) and not same else "mixed"

    def left_behind(self):
        """Files of the user's folders that a run should not have left."""
        found = [*self.temporary.iterdir(), *self.home.iterdir()]
        found += [path for path in self.work.iterdir() if path != self.output]
        if self.output.is_dir():
            found += [path for path in self.output.iterdir() if path.name not in RESULT_FILES]
        return [str(path.relative_to(self.folder)) for path in found]


class Ended:
    """How a run ended: exit ``code``, all that it printed, and what it left."""

    def __init__(self, code, text, place, processes):
        self.code, self.text, self.place, self.processes = code, text, place, processes

    def check(self, code, says, *, results="new", left=()):
        """Assert that the fault was handled.

        The exit code is ``code``; one line of the output matches each of ``says`` (one expression
        or several); no traceback; ``results`` are the files in the output folder; no process is
        left, and no file but ``left``.
        """
        __tracebackhide__ = True
        assert not _NEVER.search(self.text), self.text
        assert self.code == code, self.text
        for pattern in (says,) if isinstance(says, str) else says:
            lines = self.text.splitlines()
            assert any(re.search(pattern, line) for line in lines), f"{pattern}\n{self.text}"
        assert self.place.results == results, self.text
        assert self.processes == [], "processes are left"
        found = sorted(self.place.left_behind())
        assert found == sorted(left), f"files are left: {found}"


def run(place, *arguments, fault=None, stage=Stage.START, machine=None, environ=(), work=None):
    """Run ``amx-suite`` with these arguments on the fake machine, and ``fault`` at the stage.

    ``fault`` is called in the run's process. ``machine`` changes the fake one (``fake_machine``),
    ``environ`` the variables (None removes one). ``work`` stands in for the command line.
    """
    mark = uuid.uuid4().hex
    own = {k: v for k, v in os.environ.items() if not k.startswith(("AMX_SUITE", "PYTEST_"))}
    own |= {
        "PYTHONPATH": os.pathsep.join((str(ROOT / "tests" / "selftest"), str(ROOT))),
        "COLUMNS": "150",
        "HOME": str(place.home),
        "TMPDIR": str(place.temporary),
        "XDG_DATA_HOME": str(place.data),
        "XDG_CACHE_HOME": str(place.cache),
        # It writes a list of fonts there, which takes seconds.
        "MPLCONFIGDIR": str(place.checkout / "matplotlib"),
        "FAKE_MACHINE": json.dumps(machine or {}),
        _MARK: mark,
        **dict(environ),
    }
    own = {name: value for name, value in own.items() if value is not None}

    def in_fork():
        import tempfile

        import fake_machine  # noqa: F401 - it puts the fake machine under the suite

        tempfile.tempdir = None
        qualify._tests_root = lambda: place.checkout
        lock.LOCK_PATH = place.folder / "machine.lock"
        if fault is not None:
            _arm(fault, stage)
        return cli.main([*map(str, arguments)]) if work is None else work()

    sys.stdout.flush()
    ended = Forked(in_fork, place.work, own).wait()
    return Ended(ended.returncode, ended.stdout, place, _left_processes(mark))


def _arm(fault, stage):
    """Have the fault happen once, at its stage; in the run's process."""
    from fake_trial import FakeWorker

    from amx_suite.plugin import run as plugin_run

    def before(owner, name, count):
        original = getattr(owner, name)
        calls = iter(range(1, 10**9))

        def wrapped(*arguments, **named):
            if next(calls) == count:
                fault()
            return original(*arguments, **named)

        setattr(owner, name, wrapped)

    if stage is Stage.START:
        fault()
    elif stage is Stage.PREPARE:
        before(FakeWorker, "prepare", 1)
    elif stage is Stage.MEASURE:
        before(FakeWorker, "take_slice", 7)
    else:
        # It is read before the first test and after the last one.
        before(plugin_run, "read_health", 2)


def _left_processes(mark):
    """Command lines of the run's processes that do not end by themselves."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.environ().get(_MARK) == mark and not gone(process.pid, 2.0):
                found.append(" ".join(process.cmdline()))
    return found
