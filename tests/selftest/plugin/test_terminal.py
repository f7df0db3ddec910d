"""What ``amx-suite qualify`` prints into a log and on a terminal, and how Ctrl-C ends it."""

import os
import re
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from amx_suite.cli.qualify import RESULT_FILES
from amx_suite.plugin import terminal

pytestmark = pytest.mark.selftest

#: Checks as there are many of on a machine without AMX.
MANY = """
@pytest.mark.detection
@pytest.mark.parametrize("number", range(130))
def test_many(amx_support, number): pass
"""
EXPIRED = """
[[waiver]]
id = "test_many"
reason = "none"
owner = "nobody"
expires = 2020-01-01
"""
#: A check whose child is busy for longer than this selftest may take.
LONG = """
from pathlib import Path
from fake_handlers import OBEDIENT, Do, Told
from amx_suite.child.handle import Child

@pytest.mark.detection
def test_done(): pass

@pytest.mark.detection
def test_long():
    with Child(OBEDIENT, label="busy") as child:
        Path("begun").write_text(str(child.pid))
        child.ask(Do("sleep", 600), Told, seconds=600)
"""


class TestLog:
    def test_level_3_fits_on_a_page(self, qualify_in, tmp_path):
        done = qualify_in(tmp_path, "--level", "3", detection=MANY).wait()
        assert done.returncode == 0, done.stdout
        lines = done.stdout.splitlines()
        assert len(lines) <= 60
        assert "test_" not in done.stdout, "no test is named"
        assert not re.search(r"benchmark: |generated xml|=====|%\\]", done.stdout)
        assert re.search(r"^AMX: usable$", done.stdout, re.MULTILINE)
        assert re.search(r"^detection: 130 passed, \d+ s$", done.stdout, re.MULTILINE)
        assert len(re.findall(r"^trial \d of 5: \S+ \S+, about", done.stdout, re.MULTILINE)) == 5
        ended = r"^gemm-inference-ipex b16x128: 12 rounds; gates: 4 PASS; checks: 15 passed, \d+ s$"
        assert re.search(ended, done.stdout, re.MULTILINE)
        start = next(n for n, line in enumerate(lines) if "over FP32" in line)
        table = lines[start : start + 2 + 21]
        assert max(map(len, table)) <= 110
        assert " ".join(table[4].split()) == "bf16@amx 150.0 6.00x PASS 8.40x PASS AMX 99%"
        assert table[-1].split()[0] == "bf16@amx", "one line for each of the 21 arms"
        assert lines[-2].startswith("amx-suite: results in amx-results: ")
        assert lines[-1].startswith("amx-suite: QUALIFIED (exit code 0): checks: 194 passed; ")
        assert lines[-1].endswith("; see amx-results/report.html")

    def test_without_amx_says_so_first(self, qualify_in, tmp_path):
        (tmp_path / "waivers.toml").write_text(EXPIRED)
        options = ("--level", "2", "--waivers", "waivers.toml")
        done = qualify_in(tmp_path, *options, detection=MANY, machine={"usable": False}).wait()
        assert done.returncode == 3, done.stdout
        lines = done.stdout.splitlines()
        assert len(lines) <= 60
        assert lines[:2] == [
            "AMX: not usable [no-silicon]: No AMX on the fake machine.",
            "amx remedy: Buy another.",
        ]
        promised = (
            r"amx arms: 3 of 5 need no AMX and are measured, by design \d+ to \d+ (s|min); "
            r"with --require the run stops here instead"
        )
        assert re.fullmatch(promised, lines[2])
        assert "amx quiet" not in done.stdout, "nothing is judged, so nothing waits for quiet"
        assert re.search(r"^  \d+ skipped: no-silicon: No AMX", done.stdout, re.MULTILINE)
        assert done.stdout.count(" skipped: no-silicon") == 1, "one reason, one line"
        assert re.search(r"^warning: the waiver of .* expired on 2020", done.stdout, re.MULTILINE)
        assert lines[-1] == (
            "amx-suite: AMX NOT USABLE (exit code 3): 3 arms without AMX were measured; "
            "see amx-results/report.html"
        )

    def test_broken_test_file_is_named(self, qualify_in, tmp_path):
        done = qualify_in(tmp_path, "--level", "1", detection="import nothing_here").wait()
        assert done.returncode == 4, done.stdout
        shown = "ERROR tests/detection/test_it.py\n"
        assert shown in done.stdout
        assert "ModuleNotFoundError: No module named 'nothing_here'" in done.stdout
        assert "interrupted: 1 error during collection\n" in done.stdout


def begun(path):
    """Wait for a file that the run writes."""
    end = time.monotonic() + 60
    while not path.exists() or not path.read_text():
        assert time.monotonic() < end, f"{path.name} was not written"
        time.sleep(0.02)
    return path.read_text()


def publish_forever(*_):
    Path("publishing").write_text("now")
    time.sleep(600)


class TestCtrlC:
    def test_once_writes_what_was_measured(self, qualify_in, tmp_path):
        run = qualify_in(tmp_path, "--level", "2", detection=LONG)
        child = int(begun(tmp_path / "begun"))
        os.kill(run.pid, signal.SIGINT)
        done = run.wait()
        assert done.returncode == 4, done.stdout
        assert not Path(f"/proc/{child}").exists(), "the busy child is ended, not waited for"
        written = [path.name for path in (tmp_path / "amx-results").iterdir()]
        assert sorted(written) == sorted(RESULT_FILES)
        assert "KeyboardInterrupt" not in done.stdout, "where the code was helps nobody"
        told = "interrupted: what was measured is written; Ctrl-C again stops at once\n"
        assert told in done.stdout
        last = done.stdout.splitlines()[-1]
        assert last.startswith("amx-suite: INCONCLUSIVE (exit code 4): the run ended early; ")

    def test_twice_stops_at_once(self, qualify_in, tmp_path):
        run = qualify_in(tmp_path, "--level", "2", detection=LONG, publish=publish_forever)
        begun(tmp_path / "begun")
        os.kill(run.pid, signal.SIGINT)
        begun(tmp_path / "publishing")
        os.kill(run.pid, signal.SIGINT)
        done = run.wait()
        assert done.returncode == 4, done.stdout
        assert done.stdout.splitlines()[-1] == "amx-suite: interrupted"
        assert list((tmp_path / "amx-results").iterdir()) == [], "no half-written results"


class FakeTerminal:
    verbosity = -2

    def __init__(self, isatty):
        self.isatty = isatty
        self.shown = ""

    def rewrite(self, text, erase):
        self.shown += "\r" + text

    def write(self, text):
        self.shown += text

    def write_line(self, text):
        self.shown += text + "\n"

    def ensure_newline(self):
        pass

    flush = ensure_newline


class TestProgress:
    @pytest.fixture
    def show_in(self, monkeypatch):
        """Show progress every 20 s for 15 minutes, then a line that stays; what was shown."""

        def show(reporter, *, quiet=True):
            plugins = {"terminalreporter": reporter}
            config = SimpleNamespace(pluginmanager=SimpleNamespace(getplugin=plugins.get))
            now = iter(range(0, 10**6, 20))
            clock = SimpleNamespace(monotonic=lambda: current[0])
            monkeypatch.setattr(terminal, "time", clock)
            current = [next(now)]
            line = terminal.ProgressLine(config, quiet=quiet)
            for number in range(45):
                line.show(f"{number} of 45")
                current[0] = next(now)
            line.show("done", keep=True)
            return reporter.shown

        return show

    def test_log_gets_a_line_in_5_minutes(self, show_in):
        assert show_in(FakeTerminal(isatty=False)) == "15 of 45\n30 of 45\ndone\n"

    def test_terminal_rewrites_one_line(self, show_in):
        shown = show_in(FakeTerminal(isatty=True))
        assert shown.count("\n") == 1
        assert shown.endswith("\r44 of 45\r\rdone\n")

    def test_plain_quiet_pytest_shows_none(self, show_in):
        assert show_in(FakeTerminal(isatty=False), quiet=False) == ""
