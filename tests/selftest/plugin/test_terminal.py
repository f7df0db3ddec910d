"""What ``amx-suite qualify`` prints into a log and on a terminal, and how Ctrl-C ends it."""

import contextlib
import os
import pty
import re
import signal
import threading
import time
from pathlib import Path

import pytest
from screen import screen

from amx_suite.cli.qualify import RESULT_FILES

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
        begun, checks = "^gemm-inference-ipex b16x128: 12 rounds; ", "15 passed, 4 skipped, "
        ended = rf"{begun}gates: 4 PASS; checks: {checks}\d+ s$"
        assert re.search(ended, done.stdout, re.MULTILINE)
        start = next(n for n, line in enumerate(lines) if "over FP32" in line)
        table = lines[start : start + 2 + 21]
        assert max(map(len, table)) <= 110
        assert " ".join(table[4].split()) == "bf16@amx 150.0 6.00x PASS 8.40x PASS AMX 99%"
        assert table[-1].split()[0] == "bf16@amx", "one line for each of the 21 arms"
        assert lines[-2].startswith("amx-suite: results in amx-results: ")
        assert lines[-1].startswith(
            "amx-suite: QUALIFIED (exit code 0): checks: 194 passed, 12 skipped; "
        )
        assert lines[-1].endswith("; see amx-results/report.html")

    def test_hour_long_run_fits_on_a_page_too(self, qualify_in, tmp_path):
        """Some phases have a line."""
        done = qualify_in(tmp_path, "--level", "3", machine={"drag": 8}).wait()
        assert done.returncode == 0, done.stdout
        assert len(done.stdout.splitlines()) <= 60
        phases = re.findall(
            r"^(?:reading|\S+ \S+: (?:preparing|measuring|taking evidence)).*; about .* left$",
            done.stdout,
            re.MULTILINE,
        )
        assert 6 <= len(phases) <= 12

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


class TestTerminal:
    @pytest.fixture
    def terminal(self):
        """A terminal's end to write to, and a function for all that was written once it ended."""
        reading, writing = pty.openpty()
        found = []

        def read():
            with contextlib.suppress(OSError):  # every writer has ended
                while part := os.read(reading, 4096):
                    found.append(part)

        reader = threading.Thread(target=read)
        reader.start()

        def written():
            os.close(writing)
            reader.join()
            return b"".join(found).decode()

        yield writing, written
        os.close(reading)

    def test_live_line_gives_way_to_what_stays(self, qualify_in, tmp_path, terminal):
        output, written = terminal
        done = qualify_in(tmp_path, "--level", "2", terminal=output).wait()
        text = written()
        assert (done.returncode, done.stdout) == (0, ""), text
        live = r"gemm-inference-ipex b16x128: measuring: 7 of 12 quiet rounds, .*; about .* left"
        assert re.search(live, text)
        lines = [line for line in screen(text) if line]
        assert not re.search("measuring|preparing|taking evidence|reading what", "\n".join(lines))
        trial = next(n for n, line in enumerate(lines) if line.startswith("trial 1 of 1"))
        assert lines[trial + 1].startswith("gemm-inference-ipex b16x128: 12 rounds; gates: 4 PASS")
        assert lines[-1].startswith("amx-suite: QUALIFIED (exit code 0): ")
        assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l"), "the cursor is there"


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
        told = "interrupted by SIGINT: what was measured is written; a second signal stops at once"
        assert told in done.stdout.splitlines()
        last = done.stdout.splitlines()[-1]
        ended = "amx-suite: INCONCLUSIVE (exit code 4): SIGINT ended the run early; "
        assert last.startswith(ended)

    def test_twice_stops_at_once(self, qualify_in, tmp_path):
        run = qualify_in(tmp_path, "--level", "2", detection=LONG, publish=publish_forever)
        begun(tmp_path / "begun")
        os.kill(run.pid, signal.SIGINT)
        begun(tmp_path / "publishing")
        os.kill(run.pid, signal.SIGINT)
        done = run.wait()
        assert done.returncode == 4, done.stdout
        told = "amx-suite: a second signal (SIGINT) ended it at once"
        assert done.stdout.splitlines()[-1] == told
        assert list((tmp_path / "amx-results").iterdir()) == [], "no half-written results"
