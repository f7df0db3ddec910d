"""The harness itself: a run without a fault is clean, and each thing it looks for is seen."""

import os
import signal
import subprocess

import pytest
from harness import Stage, run

pytestmark = pytest.mark.selftest


def test_run_without_fault_replaces_results(place):
    run(place, "qualify").check(0, "^amx-suite: QUALIFIED")


def test_refused_run_keeps_earlier_results(place):
    run(place, "qualify", "--level", "9").check(2, "--level", results="earlier")


def test_process_left_is_seen(place):
    def leave_process():
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        # With the run's output open, its reader would wait for it.
        left = subprocess.Popen(["sleep", "30"], start_new_session=True, **quiet)
        (place.folder / "pid").write_text(str(left.pid))

    ended = run(place, "qualify", fault=leave_process)
    os.kill(int((place.folder / "pid").read_text()), signal.SIGKILL)
    assert ended.processes == ["sleep 30"]
    with pytest.raises(AssertionError, match="processes are left"):
        ended.check(0, "^amx-suite: QUALIFIED")


def test_file_left_is_seen(place):
    ended = run(place, "qualify", fault=(place.temporary / "left").touch)
    with pytest.raises(AssertionError, match="files are left"):
        ended.check(0, "^amx-suite: QUALIFIED")


@pytest.mark.parametrize("stage", Stage)
def test_every_stage_is_reached(place, stage):
    ended = run(place, "qualify", fault=lambda: os.kill(os.getpid(), signal.SIGKILL), stage=stage)
    assert ended.code == -signal.SIGKILL
