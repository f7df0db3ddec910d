"""A real ReFrame without a cluster: this machine is the node."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import sample_runs as runs
from stored_runs import write

from amx_suite.fleet.reframe_run import SHIPPED

pytestmark = [
    pytest.mark.fleet,
    pytest.mark.skipif(
        find_spec("reframe") is None, reason="needs ReFrame: pip install 'amx-suite[fleet]'"
    ),
]

ROOT = Path(__file__).parents[2]
SITE = re.search(r"```python\n(.*?)```", (ROOT / "docs" / "fleet.md").read_text(), re.DOTALL)[1]
REFRAME = (sys.executable, "-c", "from reframe.frontend.cli import main; main()")


@pytest.fixture
def call(tmp_path):
    """Runs a command in a folder with site.py and a command ``recorded`` that qualifies."""
    (tmp_path / "site.py").write_text(SITE)
    write(tmp_path / "recorded.json", runs.QUALIFIED)
    command = tmp_path / "recorded"
    command.write_text(f"#!/bin/sh\nmkdir amx-results\ncp {tmp_path}/recorded.json ")
    with command.open("a") as script:
        script.write('amx-results/results.json\necho "with $*"\n')
    command.chmod(0o755)
    (tmp_path / "home").mkdir()
    own = {k: v for k, v in os.environ.items() if not k.startswith(("AMX_SUITE", "RFM_"))}

    def run(*words):
        done = subprocess.run(
            words,
            cwd=tmp_path,
            env={**own, "HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT), "NODE": "n7"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    return run


@pytest.fixture
def command(tmp_path):
    return f"command={tmp_path / 'recorded'}"


def test_fleet_run_uses_this_machine(call, command, tmp_path):
    words = ("fleet", "run", "--level", "3", "--", "-C", "site.py", "--system=local", "-S", command)
    code, said = call(sys.executable, "-m", "amx_suite", *words)
    assert code == 0, said
    assert "amx-suite: 1 machine: 1 QUALIFIED; next: amx-suite fleet report amx-fleet" in said
    (printed,) = tmp_path.glob("amx-fleet/*/qualify.txt")
    assert "with qualify --level 3 --output amx-results" in printed.read_text()


def test_plain_reframe_runs_the_test(call, command, tmp_path):
    # Without --distribute the job says which node it ran on.
    words = ("-c", str(SHIPPED["test"]), "-r", "-S", "results=night", "-S", command)
    code, said = call(*REFRAME, *words)
    assert code == 0, said
    assert len(list(tmp_path.glob("night/*/results.json"))) == 1


def test_dry_run_keeps_results(call, command, tmp_path):
    words = ("-c", str(SHIPPED["test"]), "--distribute=all", "-S", "results=night", "-S", command)
    assert call(*REFRAME, *words, "-r")[0] == 0
    (kept,) = tmp_path.glob("night/*/results.json")
    assert call(*REFRAME, *words, "--dry-run")[0] == 0
    assert kept.is_file()


@pytest.mark.parametrize(
    ("system", "line"),
    [
        ("slurm", "#SBATCH --exclusive"),
        ("pbs", "#PBS -l select=1:ncpus=96:host=n7"),
        ("ssh", "amx-suite: this node is"),
    ],
)
def test_sites_of_the_docs_make_jobs(call, tmp_path, system, line):
    words = ("-C", "site.py", f"--system={system}", "-c", str(SHIPPED["test"]), "--dry-run")
    code, said = call(*REFRAME, *words)
    assert code == 0, said
    (job,) = tmp_path.glob("stage/**/rfm_job.sh")
    assert line in job.read_text()
