"""``amx-suite ab`` on the fake machine: what it runs, prints and returns."""

import functools
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from fake_sides import SideWorker
from fake_trial import FAKE_TOPOLOGY, World

from amx_suite import cli
from amx_suite.ab.measure import LAUNCHES
from amx_suite.child.interpreter import Interpreter
from amx_suite.cli import ab
from amx_suite.host import lock
from amx_suite.host.cpuinfo import CpuInfo
from amx_suite.host.facts import HostFacts
from amx_suite.host.reasons import Reason, Support, SupportFinding
from amx_suite.plugin import selection
from amx_suite.trial.session import TrialSession

pytestmark = pytest.mark.selftest

OTHER = "/opt/new/bin/python"
NO_AMX = Support((SupportFinding(Reason.NO_SILICON, "No AMX here.", "Buy another."),))


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """The fake machine; ``started`` are the arms with the Python of each worker."""
    world = World()
    world.numbers, world.started = {}, []
    world.support, world.flags = Support(()), ()
    world.packages = {"torch": "2.8.1", "msgspec": "0.19"}

    def start(isa, engine, *, cpus, label, python):
        world.started.append((label, python and python.path))
        return SideWorker(world, SimpleNamespace(isa=isa, engine=engine, arm=label, id=label))

    def inspect(path):
        return Interpreter(str(path), "3.12.4", world.packages)

    def detect():
        facts = HostFacts(
            system="linux",
            machine="x86_64",
            topology=FAKE_TOPOLOGY,
            cpuinfo=CpuInfo(flags=world.flags),
        )
        return facts, world.support

    session = functools.partial(
        TrialSession,
        clock=lambda: world.now,
        memory=lambda: world.free,
        throttled=lambda: 0.0,
        suspended=lambda: 0.0,
    )
    monkeypatch.setattr(ab, "IsaWorker", start)
    monkeypatch.setattr(ab, "TrialSession", session)
    monkeypatch.setattr(ab, "detect", detect)
    monkeypatch.setattr(Interpreter, "inspect", staticmethod(inspect))
    monkeypatch.setattr(selection, "_cpu_flags", tuple)
    monkeypatch.setattr(lock, "LOCK_PATH", tmp_path / "machine.lock")
    monkeypatch.delenv("AMX_SUITE_ENGINE", raising=False)
    monkeypatch.chdir(tmp_path)
    return world


def run(*words):
    return cli.main(["ab", "--engine", "eager", *words])


def test_each_side_runs_in_its_python(machine):
    assert run("--new", OTHER) == 0
    by_side = {label.rpartition(":")[2]: python for label, python in machine.started}
    assert by_side == {"base": None, "new": OTHER}


def test_worse_build_fails_the_command(machine, capsys):
    machine.seconds["bf16@amx:new"] = 0.2
    assert run("--new", OTHER) == 1
    said = capsys.readouterr().out
    first, *_, last = said.splitlines()
    assert "7 comparisons, 4 launches of at most 24 rounds each, about" in first
    assert "comparison 3 of 7: gemm-inference-bf16-amx-eager b16x128, about" in said
    assert last == "amx-suite: WORSE (exit code 1): 1 worse, 6 unchanged"
    assert f"new: eager in {OTHER}: Python 3.12.4, torch 2.8.1" in said


def test_equal_builds_pass(machine, capsys):
    assert run("--new", OTHER, "--workload", "gemm", "--new-arm", "bf16@amx") == 0
    assert "NOTHING GOT WORSE (exit code 0): 1 unchanged" in capsys.readouterr().out
    assert len(machine.started) == 2 * LAUNCHES + 2


def test_more_launches_are_taken(machine, capsys):
    assert run("--control", "--base-arm", "bf16@amx", "--launches", "6") == 0
    assert "6 launches of at most 24 rounds" in capsys.readouterr().out
    assert len(machine.started) == 3 * 6


def test_too_few_launches_are_refused(machine, capsys):
    assert run("--control", "--launches", "3") == 2
    assert "--launches: got '3', expected a whole number from 4 to 100" in capsys.readouterr().err


def test_live_line_names_launch_and_arm(machine, monkeypatch):
    shown = []
    monkeypatch.setattr(ab, "can_rewrite", lambda isatty: True)
    monkeypatch.setattr(ab.LiveLine, "show", lambda self, text: shown.append(text))
    run("--control", "--base-arm", "bf16@amx")
    name = "gemm-inference-bf16-amx-eager b16x128"
    assert f"launch 1 of 4: {name}: preparing bf16@amx:base (1 of 3)" in shown
    assert any(text.startswith(f"launch 4 of 4: {name}: measuring: 23 of 24") for text in shown)


def test_control_needs_one_build_only(machine, capsys):
    assert run("--control", "--base-arm", "bf16@amx") == 0
    assert "a change must exceed" in capsys.readouterr().out
    # The same build has the same model.
    assert len(machine.started) == 3 * LAUNCHES


def test_files_hold_the_comparison(machine, capsys):
    words = ("--control", "--base-arm", "bf16@amx")
    assert run(*words, "--json", "a.json", "--markdown", "a.md") == 0
    found = json.loads(Path("a.json").read_text())
    assert found["pairs"][0]["change"] == "unchanged"
    assert len(found["pairs"][0]["launches"]) == LAUNCHES
    assert Path("a.md").read_text().startswith("# Intel AMX conformance: two builds, one trial")
    capsys.readouterr()
    assert run(*words, "--json", "-") == 0
    # Progress does not spoil it.
    assert json.loads(capsys.readouterr().out)["schema_version"] == 1


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        ([], "both sides are the same: name another Python with --base"),
        (["--base-arm", "bf16@amx"], "both sides are the same"),
        (["--base-engine", "eager"], "both sides are the same"),
        (["--base", sys.executable, "--new", sys.executable], "both sides are the same"),
        (["--base-engine", "eagre"], "unknown engine in --base-engine 'eagre'"),
        (["--new", OTHER, "--new-engine", "ipex"], "engine 'ipex' cannot be used by the new side"),
        (["--control", "--workload", "vgg"], "unknown workload of level 2 'vgg'"),
        (["--control", "--new-arm", "amx"], "--new-arm: got 'amx', expected PRECISION@CEILING"),
        (["--control", "--new-arm", "int8@avx2"], "has the arms int8@avx2 on this CPU"),
        (["--control", "--margin", "0"], "--margin: got '0'"),
        (["--control", "--level", "1"], "level 1"),
        (["--control", "--json", "."], "is a folder"),
        (["--control", "--weights", "resnet50=/nowhere.pth"], "/nowhere.pth"),
    ],
)
def test_unusable_options_are_refused(machine, capsys, words, fault):
    assert run(*words) == 2
    assert fault in capsys.readouterr().err
    assert machine.started == []


def test_without_amx_the_rest_is_compared(machine, capsys):
    machine.support = NO_AMX
    assert run("--new", OTHER) == 0
    said = capsys.readouterr().out
    assert "4 unchanged, 3 skipped" in said
    assert "bf16-amx-eager: skipped: no-silicon: No AMX here" in said


def test_only_amx_asked_and_missing_is_not_usable(machine, capsys):
    machine.support = NO_AMX
    assert run("--new", OTHER, "--new-arm", "int8@amx") == 3
    assert "AMX NOT USABLE (exit code 3): 1 skipped" in capsys.readouterr().out


def test_nothing_left_is_undecided(machine, capsys):
    machine.flags = ("avx2", "fma")
    assert run("--new", OTHER, "--new-arm", "bf16@avx512_bf16") == 4
    said = capsys.readouterr().out
    assert "this CPU lacks avx512f" in said
    assert "INCONCLUSIVE (exit code 4): 1 skipped" in said


def test_arms_of_two_engines_are_compared(machine, capsys):
    machine.seconds |= {"inductor:bf16@avx512_bf16:new": 1.0}
    words = ("--base-engine", "eager", "--new-engine", "inductor", "--base-arm", "bf16@amx")
    assert cli.main(["ab", *words]) == 0
    assert "gemm-inference-bf16-amx-eager-to-bf16-amx-inductor" in capsys.readouterr().out


def test_lost_arm_of_a_new_torch_has_vanished(machine, capsys):
    machine.packages = {"torch": "2.15.0"}
    assert run("--new", OTHER, "--base-arm", "int8@avx512_vnni") == 4
    said = capsys.readouterr().out
    assert "int8@avx512_vnni:new: torch 2.15.0 runs eager quantized" in said
    assert "1 vanished" in said


def test_interrupt_reports_what_was_measured(machine, capsys):
    machine.faults["bf16@amx:new", "slice"] = KeyboardInterrupt("SIGTERM")
    assert run("--new", OTHER) == 4
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("amx-suite: INCONCLUSIVE (exit code 4): 2 unchanged, 1 inconclusive")
    assert "SIGTERM ended the run early" in last
    assert not machine.live


def test_machine_that_is_measured_is_refused(machine, capsys):
    with lock.MachineLock().acquire(False, print):
        assert run("--new", OTHER) == 2
    assert machine.started == []
