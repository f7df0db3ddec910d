"""The health check drains a node for doctor's "no" alone, once, with doctor's sentence."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from amx_suite.fleet.reframe_run import SHIPPED

pytestmark = pytest.mark.selftest

SCRIPT = SHIPPED["health-check"]

NO = """\
AMX is not usable on this machine: syscall-filtered

  [syscall-filtered] A system-call filter, as containers and sandboxes "set" it,
    keeps this process from asking.
    What to do: allow arch_prctl.

  [other] Another reason.

Observed:
"""

SCONTROL = """\
#!/bin/sh
printf '%s\\n' "$@" >> {folder}/asked
[ "$2" = show ] && [ -n "{state}" ] && echo "NodeName=n1 Arch=x86_64 State={state} Owner=N/A"
exit 0
"""


@pytest.fixture
def check(tmp_path):
    """Runs the script beside a doctor and a Slurm; returns its exit code, words, and updates."""

    def run(doctor, *, state="IDLE", environ=()):
        write(tmp_path / "amx-suite", f"#!/bin/sh\n{doctor}\n")
        write(tmp_path / "scontrol", SCONTROL.format(folder=tmp_path, state=state))
        done = subprocess.run(
            [SCRIPT],
            env={
                "PATH": f"{tmp_path}:{os.environ['PATH']}",
                "SLURMD_NODENAME": "n1",
                **dict(environ),
            },
            capture_output=True,
            text=True,
            check=False,
        )
        asked = tmp_path / "asked"
        words = asked.read_text().splitlines() if asked.is_file() else []
        updates = words[words.index("update") :] if "update" in words else []
        return done.returncode, done.stdout + done.stderr, updates

    (tmp_path / "no.txt").write_text(NO)
    return run


@pytest.fixture
def no(tmp_path):
    return f"cat {tmp_path}/no.txt; exit 3"


def write(path: Path, text: str) -> None:
    path.write_text(text)
    path.chmod(0o755)


def test_node_with_amx_stays(check):
    assert check("echo fine") == (0, "", [])


def test_unusable_node_is_drained_with_sentence(check, no):
    code, _, updates = check(no)
    sentence = (
        "Reason=amx-suite: [syscall-filtered] A system-call filter, as containers and sandboxes "
        "set it, keeps this process from asking."
    )
    assert code == 3
    assert updates == ["update", "NodeName=n1", "State=drain", sentence]


@pytest.mark.parametrize("state", ["IDLE+DRAIN", "ALLOCATED+DRAIN*"])
def test_drained_node_keeps_its_reason(check, no, state):
    code, _, updates = check(no, state=state)
    assert (code, updates) == (3, [])


def test_node_unknown_to_slurm_is_said(check, no):
    code, said, updates = check(no, state="")
    assert (code, updates) == (4, [])
    assert "scontrol does not know the node n1" in said


@pytest.mark.parametrize(
    "doctor", ["echo broken >&2; exit 1", "exec no-such-program", "kill -SEGV $$"]
)
def test_broken_doctor_drains_nothing(check, doctor):
    code, said, updates = check(doctor)
    assert (code, updates) == (4, [])
    assert "doctor ended with" in said


def test_hanging_doctor_drains_nothing(check, tmp_path):
    # A clock that need not be waited for.
    write(tmp_path / "timeout", '#!/bin/sh\nshift 2; case "$3" in doctor) exit 124;; esac\n')
    code, said, updates = check("exec sleep 60")
    assert (code, updates) == (4, [])
    assert "did not answer in 7 seconds" in said


def test_reason_cannot_run_commands(check, tmp_path):
    text = "  [x] $(touch bad) `touch bad`; 'a' \\\"b\\\" \\033[31m"
    code, _, updates = check(f"printf '%b\\n' '{text.replace(chr(39), '')}'; exit 3")
    assert code == 3
    assert updates[-1].startswith("Reason=amx-suite: [x] $(touch bad) `touch bad`;")
    assert updates[-1].isprintable()
    assert not (tmp_path / "bad").exists()


def test_script_takes_ten_seconds_at_most():
    # doctor, then to be killed, and two questions to Slurm.
    text = SCRIPT.read_text()
    assert text.count("timeout -k 1 7 ") == 1
    assert text.count("timeout 1 scontrol") == 2
    assert os.access(SCRIPT, os.X_OK)
