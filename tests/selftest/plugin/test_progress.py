"""Progress: one live line on a terminal, a line now and then in a log."""

import itertools
import re
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import pytest
from screen import screen

from amx_suite.plugin.progress import LiveLine, ProgressLine
from amx_suite.trial.design_time import DesignTime

pytestmark = pytest.mark.selftest

ROOT = Path(__file__).resolve().parents[3]


class FakeTerminal:
    """pytest's terminal reporter; a test has begun a line."""

    verbosity = -2

    def __init__(self, isatty):
        self.isatty = isatty
        self.begun = True

    def write_line(self, text):
        self.ensure_newline()
        print(text)

    def ensure_newline(self):
        if self.begun:
            print()
        self.begun = False

    def flush(self):
        sys.stdout.flush()


class Progress:
    """A progress line with a clock."""

    def __init__(self, *, isatty, quiet=True):
        reporter = FakeTerminal(isatty)
        plugins = {"terminalreporter": reporter}
        config = SimpleNamespace(pluginmanager=SimpleNamespace(getplugin=plugins.get))
        self.now = 0.0
        self.line = ProgressLine(config, quiet=quiet, clock=lambda: self.now)

    def show_for(self, seconds):
        """Show the time passed each 10 seconds."""
        for _ in range(0, seconds, 10):
            self.now += 10
            self.line.show(f"{self.now:.0f}")


@pytest.fixture
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")


@pytest.mark.usefixtures("wide")
class TestTerminal:
    def test_texts_replace_each_other(self, capsys):
        progress = Progress(isatty=True)
        progress.show_for(30)
        assert screen(capsys.readouterr().out) == ["", "30"]

    def test_line_that_stays_takes_its_place(self, capsys):
        progress = Progress(isatty=True)
        progress.show_for(30)
        progress.line.show("done", keep=True)
        progress.show_for(20)
        progress.line.clear()
        written = capsys.readouterr().out
        assert [line for line in screen(written) if line] == ["done"]
        assert written.rindex("\x1b[?25h") > written.rindex("\x1b[?25l"), "the cursor is there"

    def test_long_text_is_cut(self, capsys):
        progress = Progress(isatty=True)
        for letter in "ab":
            progress.line.show(letter * 100)
        assert screen(capsys.readouterr().out) == ["", "b" * 40]

    def test_nothing_is_written_meanwhile(self, capsys):
        """A slice is timed between two texts."""
        with LiveLine() as line:
            before = threading.active_count()
            line.show("begun")
            assert threading.active_count() == before, "no thread refreshes it"

    def test_time_left_counts_down(self, capsys):
        progress = Progress(isatty=True)
        progress.line.expect(DesignTime(120.0, 480.0))
        progress.now = 200.0
        progress.line.show("measuring")
        assert screen(capsys.readouterr().out)[1] == "measuring; about 1 to 5 min left"
        progress.now = 500.0
        progress.line.show("measuring")
        progress.line.show("done", keep=True)
        assert screen(capsys.readouterr().out)[0] == "done"

    def test_dumb_terminal_is_a_log(self, capsys, monkeypatch):
        monkeypatch.setenv("TERM", "dumb")
        Progress(isatty=True).show_for(60)
        assert capsys.readouterr().out == "\n30\n60\n"


class TestLog:
    def test_pauses_get_longer(self, capsys):
        Progress(isatty=False).show_for(3600)
        times = [int(line) for line in capsys.readouterr().out.split()]
        pauses = [after - before for before, after in itertools.pairwise([0, *times])]
        assert pauses[0] == 30
        assert pauses == sorted(pauses)
        assert pauses[-1] == 300
        assert len(times) < 20

    def test_no_line_soon_after_another(self, capsys):
        progress = Progress(isatty=False)
        progress.now = 25
        progress.line.show("a trial begins", keep=True)
        progress.show_for(60)
        assert capsys.readouterr().out == "\na trial begins\n55\n"

    def test_plain_pytest_shows_each_phase(self, capsys):
        progress = Progress(isatty=False, quiet=False)
        progress.line._config.pluginmanager.getplugin("terminalreporter").verbosity = 0
        progress.show_for(30)
        for second in range(21):
            progress.now += 1
            progress.line.show(f"often {second}", seldom=True)
        assert capsys.readouterr().out.split("\n")[1:-1] == [
            *("10", "20", "30", "often 9", "often 19"),
        ]

    def test_quiet_pytest_shows_none(self, capsys):
        Progress(isatty=False, quiet=False).show_for(3600)
        assert capsys.readouterr().out == ""


def test_run_without_terminal_plugin_passes(run_suite):
    done = run_suite("-p", "no:terminal")
    assert (done.returncode, done.stdout) == (0, "")


def test_long_test_before_trials_has_time_left(run_suite, tmp_path):
    file = tmp_path / "test_theirs.py"
    file.write_text("def test_long(amx_progress): amx_progress('3 of 8')\n")
    done = run_suite(ROOT / "tests" / "performance", tests=file)
    assert done.returncode == 0, done.stdout
    assert re.search(r"^3 of 8; about \d+ to \d+ min left$", done.stdout, re.MULTILINE)
