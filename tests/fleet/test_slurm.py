"""A real Slurm with two nodes, on which a real ReFrame runs the shipped test."""

import json
import re
import shlex
import subprocess
import sys
import threading
from pathlib import Path

import msgspec
import pytest
import sample_runs as runs
from stored_runs import write

from amx_suite import cli
from amx_suite.core.run import Qualification
from amx_suite.core.verdict import Verdict

pytestmark = pytest.mark.fleet

ROOT = Path(__file__).parents[2]
NODES = ("n1", "n2")
SITE = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "fleet.md").read_text(), re.DOTALL)[1]

#: Stands in for the suite's command: what it does is in a file of the node's name.
RECORDED = """\
#!/bin/sh
mkdir amx-results
. {folder}/$SLURMD_NODENAME.sh
"""


class Fleet:
    """``amx-suite fleet run`` on the cluster; ``answers`` are what each node does, in shell."""

    def __init__(self, slurm, folder):
        self.slurm, self.folder = slurm, folder
        self.results = folder / "results"
        self._command = folder / "recorded"
        self._command.write_text(RECORDED.format(folder=folder))
        self._command.chmod(0o755)
        (folder / "site.py").write_text(SITE)

    def returns(self, node, run, code, *, cut=None):
        """Have the node return this run, or the first bytes of its file."""
        path = write(self.folder / f"{node}.json", run)
        path.write_text(path.read_text()[:cut])
        self.does(node, f"cp {path} amx-results/results.json; echo recorded; exit {code}")

    def does(self, node, script):
        (self.folder / f"{node}.sh").write_text(f"{script}\n")

    def run(self, *settings, recorded=True):
        """The exit code, what was printed, and each node's machine or reason why there is none."""
        own = [f"command={shlex.quote(str(self._command))}"] if recorded else []
        words = [word for setting in (*own, *settings) for word in ("-S", setting)]
        home = self.folder / "home"
        home.mkdir()
        done = subprocess.run(
            [
                *(sys.executable, "-m", "amx_suite", "fleet", "run", "--level", "1"),
                *("--output", str(self.results), "--", "-C", "site.py", "--system=squeue"),
                # Both nodes are this host.
                *("--exec-policy=serial", f"--prefix={self.folder / 'reframe'}", "--nocolor"),
                *words,
            ],
            cwd=self.folder,
            env={**self.slurm.environ, "HOME": str(home), "PYTHONPATH": str(ROOT)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr, self._report()

    def _report(self):
        """Each node's answer, or why it has none, by ``fleet report``; no other is named."""
        expected = self.folder / "nodes.txt"
        expected.write_text(self.slurm.call("sinfo", "-N", "-h", "-o", "%N"))
        output = self.folder / "report"
        words = ("fleet", "report", self.results, "--expect", expected, "--output", output)
        cli.main([*map(str, words)])
        page = json.loads((output / "fleet.json").read_text())
        found = {each["name"]: each["qualification"] for each in page["machines"]}
        found |= {each["name"]: each["fault"] for each in page["no_result"]}
        assert sorted(found) == ["n1", "n2"]
        return found


SLOW = runs.summary(
    msgspec.structs.replace(runs.FAILED, question="performance"),
    trials=(
        runs.trial_result(
            msgspec.structs.replace(runs.gate_result(Verdict.FAIL), gate=runs.gate(minimum=5.0))
        ),
    ),
)


@pytest.fixture
def fleet(slurm, tmp_path):
    return Fleet(slurm, tmp_path)


def test_both_nodes_run_the_suite(fleet):
    code, said, found = fleet.run(recorded=False)
    answers = set(found.values())
    assert len(answers) == 1, said
    # On a machine without AMX, 3.
    (answer,) = answers
    assert code == Qualification(answer).exit_code, said
    assert "2 QUALIFIED" in said or f"2 {answer}" in said
    kept = {path.name for path in (fleet.results / "n2").iterdir()}
    assert kept >= {"results.json", "junit.xml", "report.html", "summary.md", "qualify.txt"}


def test_slow_node_misses_its_reference(fleet):
    fleet.returns("n1", runs.QUALIFIED, 0)
    fleet.returns("n2", SLOW, 1)
    code, said, found = fleet.run()
    assert code == 1
    assert "amx-suite: 2 machines: 1 QUALIFIED, 1 NOT QUALIFIED" in said
    assert re.search(r"performance error: .*-vs-fp32=4.0 x, expected 5.0 \(l=5.0, u=inf\)", said)
    assert set(found.values()) == {"QUALIFIED", "NOT QUALIFIED"}


def test_drained_node_is_named(fleet, slurm):
    fleet.returns("n1", runs.QUALIFIED, 0)
    with slurm.drained("n2"):
        code, said, found = fleet.run("max_pending_time=5s")
    assert code == 4
    assert found["n1"] == "QUALIFIED"
    assert "the job never ran" in found["n2"]
    assert "1 QUALIFIED, 1 without a result" in said
    assert "ReqNodeNotAvail, UnavailableNodes:n2" in said


def test_job_that_waits_is_given_up(fleet, slurm):
    fleet.returns("n1", runs.QUALIFIED, 0)
    slurm.call("sbatch", "--nodelist=n2", "--exclusive", "--output=/dev/null", "--wrap=sleep 60")
    code, said, found = fleet.run("max_pending_time=3s")
    slurm.call("scancel", "--me")
    assert code == 4
    assert found["n1"] == "QUALIFIED"
    assert "the job never ran" in found["n2"]
    assert "sanity error: qualify did not end, the job was killed or never ran" in said


def test_killed_job_is_named(fleet, slurm):
    fleet.returns("n1", runs.QUALIFIED, 0)
    fleet.does("n2", "echo measuring; exec sleep 60")

    def kill():
        slurm.until("a job on n2", lambda: slurm.call("squeue", "-h", "-w", "n2", "-t", "R"), 60)
        slurm.until("its output", lambda: list(fleet.folder.rglob("rfm_job.out")))
        slurm.call("scancel", "--nodelist=n2", "--me")

    killer = threading.Thread(target=kill)
    killer.start()
    code, said, found = fleet.run()
    killer.join()
    assert code == 4
    assert found["n1"] == "QUALIFIED"
    assert "no results.json" in found["n2"]
    assert "qualify did not end, the job was killed or never ran" in said


def test_cut_results_are_named(fleet):
    fleet.returns("n1", runs.QUALIFIED, 0)
    fleet.returns("n2", runs.QUALIFIED, 0, cut=1000)
    code, said, found = fleet.run()
    assert code == 4
    assert found["n1"] == "QUALIFIED"
    assert "results.json" in found["n2"]
    assert "exit code 0, but no usable results" in said


def test_health_check_drains_unusable_node(slurm):
    checked = slurm.folder / "check-n2"
    checked.touch()
    try:
        slurm.until("n2 to be drained", lambda: slurm.states() == ["idle", "drain"])
        reason = slurm.reason("n2")
    finally:
        checked.unlink()
    slurm.resume("n2")
    assert reason.startswith("amx-suite: [")
    assert "What to do" not in reason
