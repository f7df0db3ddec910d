"""``fleet run`` judges what the nodes returned; ReFrame itself is a stand-in here."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import msgspec
import pytest
import sample_runs as runs
from stored_runs import write

from amx_suite import cli
from amx_suite.cli import fleet_run
from amx_suite.core.health import Identity
from amx_suite.fleet import reframe_run

pytestmark = pytest.mark.selftest


@pytest.fixture
def fleet(tmp_path, monkeypatch, capsys):
    """Runs the command; its ReFrame ends with ``code`` and leaves these runs, by node."""

    def run(nodes, code=0):
        def reframe(output, level, arguments):
            leave(output, nodes)
            return [sys.executable, "-c", f"raise SystemExit({code})"]

        monkeypatch.setattr(fleet_run, "reframe_command", lambda *words: words)
        monkeypatch.setattr(fleet_run, "_run_reframe", lambda words: real(reframe(*words)))
        ended = cli.main(["fleet", "run", "--output", str(tmp_path / "out")])
        said = capsys.readouterr()
        return ended, said.out + said.err

    real = fleet_run._run_reframe
    return run


def leave(output, nodes):
    """What the shipped test leaves of these runs; None returned nothing."""
    for name, run in nodes.items():
        folder = output / name
        folder.mkdir()
        (folder / "qualify.txt").write_text("no result came back\n")
        if run is not None:
            # Two nodes never return the same file.
            run = msgspec.structs.replace(run, identity=Identity(host_name=name))
            write(folder / "results.json", run)


def test_all_nodes_qualified_is_zero(fleet):
    code, said = fleet({"n1": runs.QUALIFIED, "n2": runs.QUALIFIED})
    assert code == 0
    assert "amx-suite: 2 machines: 2 QUALIFIED; next: amx-suite fleet report" in said


def test_node_without_results_is_never_zero(fleet):
    code, said = fleet({"n1": runs.QUALIFIED, "n2": None}, 1)
    assert code == 4
    assert "n2: " in said
    assert "1 QUALIFIED, 1 without a result" in said


def test_failed_node_is_one(fleet):
    code, said = fleet({"n1": runs.QUALIFIED, "n2": runs.summary(runs.FAILED), "n3": None}, 1)
    assert code == 1
    assert "1 NOT QUALIFIED" in said


def test_fault_of_reframe_alone_is_told(fleet):
    code, said = fleet({"n1": runs.QUALIFIED}, 1)
    assert code == 1
    assert "every node qualified, but ReFrame ended with 1" in said


def test_no_job_is_a_usage_error(fleet):
    code, said = fleet({}, 1)
    assert code == 2
    assert "ran no job" in said


def test_earlier_results_are_refused(fleet, tmp_path):
    (tmp_path / "out" / "n1").mkdir(parents=True)
    code, said = fleet({"n2": runs.QUALIFIED})
    assert code == 2
    assert "is not empty; name a new folder" in said


def test_interrupt_reaches_reframe_once(tmp_path):
    ready, seen = tmp_path / "ready", tmp_path / "seen"
    program = (
        "import pathlib, signal, sys, time\n"
        "def note(*_): open(sys.argv[2], 'a').write('x'); time.sleep(0.2); sys.exit()\n"
        "signal.signal(signal.SIGINT, note)\n"
        "pathlib.Path(sys.argv[1]).touch()\n"
        "time.sleep(60)\n"
    )

    def interrupt():
        while not ready.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    # A shell lets its background jobs ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    sender = threading.Thread(target=interrupt)
    sender.start()
    try:
        with pytest.raises(KeyboardInterrupt):
            fleet_run._run_reframe([sys.executable, "-c", program, str(ready), str(seen)])
    finally:
        signal.signal(signal.SIGINT, before)
    sender.join()
    assert seen.read_text() == "x"


def test_users_arguments_reach_reframe_last(tmp_path, monkeypatch):
    monkeypatch.setattr(reframe_run, "find_spec", lambda name: True)
    command = reframe_run.reframe_command(tmp_path, 3, ["-C", "site.py"])
    assert command[-2:] == ["-C", "site.py"]
    assert "--distribute=all" in command
    assert f"AmxQualify.results={tmp_path}" in command
    assert "AmxQualify.level=3" in command


def test_missing_reframe_names_the_extra(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(reframe_run, "find_spec", lambda name: None)
    code = cli.main(["fleet", "run", "--output", str(tmp_path), "--", "-C", "site.py"])
    assert code == 2
    assert capsys.readouterr().err == (
        "amx-suite: error: fleet run needs ReFrame: pip install 'amx-suite[fleet]'\n"
    )


def test_shipped_files_are_found(capsys):
    for words, name in (([], "reframe_test.py"), (["health-check"], "health-check.sh")):
        assert cli.main(["fleet", "path", *words]) == 0
        assert capsys.readouterr().out.strip().endswith(f"/amx_suite/fleet/{name}")
