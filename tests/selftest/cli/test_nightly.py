"""The nightly script of docs/nightly.md, through nights in which something is wrong.

The script and the command line are real, on the fake machine. ``amx-suite`` on its PATH hands each
call to this process, which runs it in a fork: that has done its imports already.
"""

import json
import os
import re
import shutil
import subprocess

import pytest
from whole_runs import ROOT, start

import amx_suite.history.render
import amx_suite.report.html  # noqa: F401 - imports matplotlib, once for all nights
from amx_suite import cli
from amx_suite.cli import qualify
from amx_suite.export.prometheus import prometheus_text
from amx_suite.history.store import load_run

pytestmark = pytest.mark.selftest

PAGE = (ROOT / "docs" / "nightly.md").read_text(encoding="utf-8")
SCRIPT = re.findall(r"^```sh\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
#: Hands its folder and arguments over, prints what comes back and ends with its exit code.
COMMAND = """#!/bin/sh
printf '%s\\n' "$PWD" "$@" > "$CALLS/request"
read -r code < "$CALLS/code"
cat "$CALLS/text"
exit "$code"
"""
#: Simulated nights last less than a second, so the clock would give two of them one name.
DATE = """#!/bin/sh
echo >> "$CALLS/nights"
printf '2026-01-%02dT020000\\n' "$(wc -l < "$CALLS/nights")"
"""
FAST, SLOWER = {"bf16@amx": 0.12}, {"bf16@amx": 0.135}


class Job:
    """Nights of one folder; ``environ`` are variables of the script."""

    def __init__(self, folder):
        self.calls, self.nights = folder / "calls", folder / "nights"
        self.checkout = folder / "checkout"
        for each in (self.calls, self.nights, self.checkout / "tests"):
            each.mkdir(parents=True)
        shutil.copy(ROOT / "pytest.ini", self.checkout)
        shutil.copytree(ROOT / "tests" / "performance", self.checkout / "tests" / "performance")
        for pipe in ("request", "code"):
            os.mkfifo(self.calls / pipe)
        (script,) = SCRIPT
        for name, text in {
            "nightly.sh": script,
            "bin/amx-suite": COMMAND,
            "bin/date": DATE,
        }.items():
            path = folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
            path.chmod(0o755)
        self.script, self.path = folder / "nightly.sh", f"{folder / 'bin'}:/usr/bin:/bin"

    def night(self, *builds, ab=0, **machine):
        """The exit code and the lines of a night; ``ab`` is the exit code of that command."""
        ended = 'sh "$0" "$@"; code=$?; echo > "$CALLS/request"; exit $code'
        environ = {"PATH": self.path, "CALLS": str(self.calls), "LEVEL": "2"}
        with subprocess.Popen(
            ["sh", "-c", ended, self.script, self.nights, *builds],
            env=environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            while call := (self.calls / "request").read_text().split("\n")[:-1]:
                if call == [""]:
                    break
                self._serve(call, ab, machine)
            text, _ = process.communicate(timeout=30)
        return process.returncode, text.splitlines()

    def _serve(self, call, ab, machine):
        folder, *arguments = call

        def work():
            if arguments[0] == "ab":
                print("amx-suite:", *arguments)
                return ab
            import fake_machine  # noqa: F401 - it puts the fake machine under the suite

            qualify._tests_root = lambda: self.checkout
            return cli.main(arguments)

        environ = {
            "FAKE_MACHINE": json.dumps({"seconds": FAST, **machine}),
            # Shortened nights: 40 s of noise are thousands of readings.
            "AMX_SUITE_BUDGET": "4",
        }
        found = start(folder, work, environ).wait()
        (self.calls / "text").write_text(found.stdout)
        (self.calls / "code").write_text(f"{found.returncode}\n")

    @property
    def good(self):
        """How many nights were kept."""
        path = self.nights / "good.txt"
        return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.fixture(scope="module")
def job(tmp_path_factory):
    """A folder with one good night."""
    job = Job(tmp_path_factory.mktemp("job"))
    code, lines = job.night()
    assert (code, job.good) == (0, 1), lines
    return job


def says(lines, *patterns):
    """Whether each pattern is in a line, in this order."""
    rest = iter(lines)
    return all(any(re.search(pattern, line) for line in rest) for pattern in patterns)


#: What is planted; the job's exit code and that of ``qualify``; what the log and its last line say.
NIGHTS = {
    "slower": (
        {"seconds": SLOWER},
        (1, 0),
        [r"QUALIFIED \(exit code 0\)", "WORSE: 2 worse, 2 unchanged"],
        "a check failed, or something got worse",
    ),
    "noisy": (
        {"busy": 10**6, "second_seconds": 0},
        (4, 4),
        ["0 quiet rounds in 4 s", "INCONCLUSIVE: 4 vanished", "1 of . runs left out"],
        "undecided: run it again",
    ),
    "machine changed": (
        {"kernel": "6.2"},
        (2, 0),
        [r"QUALIFIED \(exit code 0\)", r"another machine \(kernel was 'fake', is '6.2'\)"],
        "it could not run, or could not be compared",
    ),
    "fell back": (
        {"amx_share": {"bf16@amx": 0.0}},
        (1, 1),
        ["Next: check that oneDNN is built with AMX", r"NOT QUALIFIED \(exit code 1\)"],
        "a check failed, or something got worse",
    ),
    "no AMX": (
        {"usable": False},
        (3, 3),
        [r"AMX NOT USABLE \(exit code 3\)"],
        "AMX is not usable",
    ),
}


@pytest.mark.parametrize("name", NIGHTS)
def test_night_says_what_is_wrong(job, name):
    machine, (code, of_qualify), patterns, means = NIGHTS[name]
    kept = job.good
    ended, lines = job.night(**machine)
    assert ended == code, lines
    assert says(lines, *patterns), lines
    assert re.fullmatch(rf"nightly: [-T0-9]+: exit code {code}: {re.escape(means)}", lines[-1])
    assert job.good == kept, "such a night is nothing to compare with"
    exported = (job.nights / "amx.prom").read_text()
    assert f'amx_suite_exit_code{{machine="fake"}} {of_qualify}.0\n' in exported


def test_good_night_is_kept(job):
    kept = job.good
    code, lines = job.night()
    assert code == 0
    assert says(lines, "NOTHING GOT WORSE: 4 unchanged", "exit code 0: good, and kept")
    assert job.good == kept + 1


@pytest.mark.parametrize("ended", [1, 137])
def test_worse_candidate_fails_the_night(job, ended):
    """137 is what a shell says of a command that was killed."""
    code, lines = job.night("/base/python", "/new/python", ab=ended)
    assert code == 1
    assert says(
        lines,
        "NOTHING GOT WORSE",
        "ab --level 2 --wait --base /base/python --new /new/python",
        "exit code 1",
    )


def first_results(job):
    """Those of a good night."""
    return min(job.nights.glob("*/results.json"))


def test_other_tools_can_read_the_rows(job):
    """What github-action-benchmark and Bencher read; both refuse NaN."""

    def refuse(constant):
        raise ValueError(f"{constant} is not JSON")

    rows = json.loads(first_results(job).read_text(), parse_constant=refuse)["benchmarks"]
    assert len(rows) == 9
    for row in rows:
        assert row["fullname"].startswith("tests/performance/test_speed.py::test_")
        assert row["stats"]["mean"] > 0
        assert row["stats"]["ops"] == pytest.approx(1 / row["stats"]["mean"])
        assert row["stats"]["stddev"] >= 0
        assert row["stats"]["rounds"] == 12


def test_page_names_every_metric(job):
    named = set(re.findall(r"amx_suite_[a-z_]+", PAGE))
    text = prometheus_text([load_run(first_results(job))])
    assert named == set(re.findall(r"^# TYPE (\S+) gauge", text, re.MULTILINE))
