"""Quiet references, second measurements and inconclusive verdicts, as the terminal shows them."""

import json
import re
from xml.etree import ElementTree as ET

import pytest
from fake_trial import FAKE_TOPOLOGY

from amx_suite.core.quiet import Calibration, Reference
from amx_suite.core.units import Unit
from amx_suite.host.facts import HostFacts
from amx_suite.host.fingerprint import host_traits
from amx_suite.trial.calibrate import save_calibration

pytestmark = pytest.mark.selftest

#: An arm whose gates lie within its interval.
UNSURE = {"seconds": {"bf16@amx": [0.1, 0.9]}}
#: The fake machine's traits.
MACHINE = host_traits(
    HostFacts(system="linux", machine="x86_64", kernel_release="fake", topology=FAKE_TOPOLOGY)
)


@pytest.fixture
def reference(tmp_path):
    """Stores a quiet reference; returns the options that name it."""

    def store(machine=MACHINE):
        rates = {Unit.TILE: 1024.0, Unit.FMA: 64.0, Unit.MEMORY: 1e10}
        path = tmp_path / "reference.json"
        save_calibration(
            Calibration(machine, 1, "2025-11-22", 30.0, 600, 1.0, Reference(rates)), path
        )
        return "--amx-reference", path, "--amx-cores", 1

    return store


def gates_of(folder):
    written = json.loads((folder / "out.json").read_text())
    return [gate for trial in written["amx_suite"]["trials"] for gate in trial["gates"]]


def counts(junit):
    (suite,) = ET.parse(junit).iter("testsuite")
    return [int(suite.get(name)) for name in ("tests", "skipped", "failures")]


class TestReference:
    def test_measured_and_stored_by_first_run(self, run_suite):
        done = run_suite()
        assert done.returncode == 0, done.stdout
        assert "amx quiet: no reference of this machine is stored" in done.stdout
        assert "reading what this machine's units give when quiet: 0 of 30 s" in done.stdout
        again = run_suite()
        assert "amx quiet: each CPU within 1.1 (memory 1.25) of the reference of" in again.stdout
        assert "reading what" not in again.stdout

    def test_below_theory_is_not_stored(self, run_suite, tmp_path):
        done = run_suite("--amx-budget", 1, machine={"busy": 10**6})
        assert "the tile unit never gave more than 39% of its theory" in done.stdout
        assert not list((tmp_path / "data").rglob("*.json"))

    def test_named_file_is_used(self, run_suite, reference):
        done = run_suite(*reference())
        assert done.returncode == 0, done.stdout
        assert "of the reference of 2025-11-22: tile 1024 a cycle" in done.stdout

    def test_other_machines_file_is_refused(self, run_suite, reference):
        done = run_suite(*reference({**MACHINE, "microcode": "0x99"}))
        assert done.returncode == 4
        assert "microcode was '0x99'" in done.stdout
        assert "amx-suite calibrate" in done.stdout
        assert "preparing" not in done.stdout


class TestMeasuredAgain:
    @pytest.fixture
    def run_busy(self, run_suite, reference):
        """A run on a machine whose tile unit is busy for a number of readings."""

        def run(*arguments, readings, **more):
            return run_suite(
                *(*reference(), "--amx-budget", 1, "--benchmark-json", "out.json", *arguments),
                machine={"busy": readings, **more},
            )

        return run

    def test_second_measurement_counts(self, run_busy, tmp_path):
        """Also for a test without the suite's markers."""
        file = tmp_path / "test_theirs.py"
        file.write_text("def test_it(amx_trial):\n    amx_trial.seconds(amx_trial.arms[0])\n")
        done = run_busy(file, readings=1800)
        assert done.returncode == 0, done.stdout
        assert done.stdout.count("gemm-inference-ipex: not quiet enough") == 1
        assert "11 passed" in done.stdout
        again = "second measurement 1 of 1: gemm-inference-ipex b16x128, about"
        assert done.stdout.count(again) == 1
        assert "left; none begins later than 10 min after the first" in done.stdout
        assert {gate["verdict"] for gate in gates_of(tmp_path)} == {"PASS"}
        assert len(json.loads((tmp_path / "out.json").read_text())["benchmarks"]) == 9

    def test_there_is_no_third(self, run_busy, tmp_path):
        done = run_busy("-v", "--junitxml", "junit.xml", readings=10**5)
        assert re.search(r"6 passed, .*4 inconclusive", done.stdout), done.stdout
        assert done.stdout.count("preparing bf16@amx ") == 2
        assert {gate["lack"] for gate in gates_of(tmp_path)} == {"quiet"}
        assert "the tile unit and left down to 39% of it" in done.stdout
        assert counts(tmp_path / "junit.xml") == [12, 6, 0]

    @pytest.mark.parametrize(("method", "prepared"), [("prepare", 8), ("take_slice", 14)])
    def test_ctrl_c_in_it_keeps_the_first(self, run_busy, tmp_path, method, prepared):
        """Known-bad: rounds of the second, still without evidence, took the first one's place."""
        (tmp_path / "stop_second.py").write_text(
            "import fake_trial\n"
            "worker, seen = fake_trial.FakeWorker, []\n"
            "def watched(name, work):\n"
            "    def called(*arguments):\n"
            "        seen.append(name)\n"
            f"        late = seen.count('prepare') >= {prepared} and name == '{method}'\n"
            "        if late and (name == 'prepare' or seen[-20:].count(name) == 20):\n"
            "            raise KeyboardInterrupt\n"
            "        return work(*arguments)\n"
            "    return called\n"
            "for name in ('prepare', 'take_slice'):\n"
            "    setattr(worker, name, watched(name, getattr(worker, name)))\n"
        )
        done = run_busy("-p", "stop_second", readings=1800)
        assert done.returncode == 2, done.stdout
        assert "second measurement 1 of 1" in done.stdout
        assert "2 rounds, 100% of the time lost to waiting for quiet" in done.stdout
        assert done.stdout.count("no AMX: jail held") == 3

    def test_limited_for_the_run(self, run_busy):
        done = run_busy(readings=1800, second_seconds=0)
        assert re.search(r"6 passed, .*4 inconclusive", done.stdout), done.stdout
        assert done.stdout.count("preparing bf16@amx ") == 1
        assert "second measurement" not in done.stdout


class TestInconclusive:
    def test_own_letter_count_and_section(self, run_suite, tmp_path):
        done = run_suite("-k", "bf16-amx", "--junitxml", "junit.xml", machine=UNSURE)
        assert done.returncode == 0
        assert re.search(r"II +\[100%\]", done.stdout), done.stdout
        assert re.search(r"1 passed.* 2 inconclusive in", done.stdout)
        assert "skipped" not in done.stdout.splitlines()[-1]
        section = done.stdout.partition(" inconclusive ===")[2]
        assert section.count("INCONCLUSIVE: gemm-inference-bf16-vs-") == 2
        assert "not quiet enough" not in done.stdout, "it lacked distance to the minimum"
        assert counts(tmp_path / "junit.xml") == [3, 2, 0]
        skipped = ET.parse(tmp_path / "junit.xml").iter("skipped")
        assert all(skip.get("message").startswith("INCONCLUSIVE: ") for skip in skipped)

    def test_failed_if_strict(self, run_suite):
        done = run_suite("--amx-budget", "1", "--amx-strict", machine=UNSURE)
        assert done.returncode == 1
        assert re.search(r"2 failed", done.stdout)

    def test_plain_skip_stays_a_skip(self, run_suite, tmp_path):
        """Known-bad: the outcome is what ended the test, not how its text begins."""
        file = tmp_path / "test_theirs.py"
        file.write_text("import pytest\ndef test_it():\n    pytest.skip('INCONCLUSIVE: no')\n")
        assert "1 skipped" in run_suite(tests=file).stdout
