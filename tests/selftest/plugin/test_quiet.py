"""Quiet references, second looks and inconclusive verdicts, as the terminal shows them."""

import json
import re
from xml.etree import ElementTree as ET

import pytest
from fake_trial import FAKE_TOPOLOGY

from amx_suite.calibration.storage import save_calibration
from amx_suite.core.quiet import Calibration, Reference
from amx_suite.core.units import Unit
from amx_suite.host import host_traits
from amx_suite.host.facts import HostFacts

pytestmark = pytest.mark.selftest

#: An arm whose gates lie within its interval.
UNSURE = {"seconds": {"bf16@amx": [0.1, 0.9]}}
#: What the fake machine's facts say.
MACHINE = host_traits(
    HostFacts(system="linux", machine="x86_64", kernel_release="fake", topology=FAKE_TOPOLOGY)
)


@pytest.fixture
def reference(tmp_path):
    """Stores a quiet reference; returns its file."""

    def store(machine=MACHINE, threads=1):
        rates = {Unit.TILE: 1024.0, Unit.FMA: 64.0, Unit.MEMORY: 1e10}
        path = tmp_path / "reference.json"
        save_calibration(
            Calibration(machine, threads, "2025-11-22", 30.0, 600, 1.0, Reference(rates)), path
        )
        return path

    return store


def gates_of(folder):
    written = json.loads((folder / "out.json").read_text())
    return [gate for trial in written["amx_suite"]["trials"] for gate in trial["gates"]]


class TestReference:
    def test_without_one_the_units_are_read_first(self, run_suite, tmp_path):
        done = run_suite()
        assert done.returncode == 0, done.stdout
        assert "amx quiet: no reference of this machine is stored" in done.stdout
        assert "reading what this machine's units give when quiet: 0 of 30 s" in done.stdout
        again = run_suite()
        assert "amx quiet: each CPU within 1.1 (memory 1.25) of the reference of" in again.stdout
        assert "reading what" not in again.stdout

    def test_one_below_theory_is_told_and_not_stored(self, run_suite, tmp_path):
        done = run_suite("--amx-budget", 1, machine={"busy": 10**6})
        assert "the tile unit never gave more than 39% of its theory" in done.stdout
        assert not list((tmp_path / "data").rglob("*.json"))

    def test_the_named_one_is_used(self, run_suite, reference):
        done = run_suite("--amx-reference", reference(), "--amx-threads", 1)
        assert done.returncode == 0, done.stdout
        assert (
            "within 1.1 (memory 1.25) of the reference of 2025-11-22: tile 1024 a cycle"
            in done.stdout
        )

    def test_another_machines_is_refused_by_name(self, run_suite, reference):
        path = reference({**MACHINE, "microcode": "0x99"})
        done = run_suite("--amx-reference", path, "--amx-threads", 1)
        assert done.returncode == 4
        assert "microcode was '0x99'" in done.stdout
        assert "amx-suite calibrate" in done.stdout
        assert "preparing" not in done.stdout


class TestSecondLook:
    @pytest.fixture
    def run_busy(self, run_suite, reference):
        """A run on a machine whose tile unit is busy for so many readings."""

        def run(*arguments, readings, **more):
            return run_suite(
                *("--amx-reference", reference(), "--amx-threads", 1, "--amx-budget", 1),
                *("--benchmark-json", "out.json", *arguments),
                machine={"busy": readings, **more},
            )

        return run

    def test_a_quieter_end_decides(self, run_busy, tmp_path):
        done = run_busy(readings=1800)
        assert done.returncode == 0, done.stdout
        assert done.stdout.count("gemm-inference-ipex: not quiet enough") == 1
        assert "9 passed" in done.stdout
        assert {gate["verdict"] for gate in gates_of(tmp_path)} == {"PASS"}
        assert len(json.loads((tmp_path / "out.json").read_text())["benchmarks"]) == 9

    def test_it_is_given_once(self, run_busy, tmp_path):
        done = run_busy("-v", readings=10**5)
        assert re.search(r"5 passed, .*4 inconclusive", done.stdout), done.stdout
        assert done.stdout.count("preparing bf16@amx ") == 2
        assert {gate["lack"] for gate in gates_of(tmp_path)} == {"quiet"}
        assert "the tile unit and left down to 39% of it" in done.stdout

    def test_it_has_a_limit_for_the_run(self, run_busy, tmp_path):
        done = run_busy(readings=1800, second_looks=0)
        assert re.search(r"5 passed, .*4 inconclusive", done.stdout), done.stdout
        assert done.stdout.count("preparing bf16@amx ") == 1

    def test_junit_has_each_test_once(self, run_busy, tmp_path):
        """Known-bad: a test that was put off looks like one that passed."""
        run_busy("--junitxml", "junit.xml", readings=10**5)
        (suite,) = ET.parse(tmp_path / "junit.xml").iter("testsuite")
        assert (suite.get("tests"), suite.get("skipped"), suite.get("failures")) == ("9", "4", "0")

    def test_a_gate_near_its_minimum_gets_none(self, run_suite):
        done = run_suite("-k", "bf16-amx", machine=UNSURE)
        assert "not quiet enough" not in done.stdout


@pytest.fixture(scope="module")
def unsure(run_suite_in, tmp_path_factory):
    """A run with two inconclusive gates, and its folder."""
    folder = tmp_path_factory.mktemp("unsure")
    arguments = ("-q", "-k", "bf16-amx", "--junitxml", "junit.xml")
    return run_suite_in(folder, *arguments, machine=UNSURE), folder


class TestInconclusive:
    def test_has_its_own_letter_and_count(self, unsure):
        done, _ = unsure
        assert re.search(r"^\.II", done.stdout, re.MULTILINE), done.stdout
        assert re.search(r"1 passed.* 2 inconclusive in", done.stdout)
        assert "skipped" not in done.stdout.splitlines()[-1]

    def test_says_why_at_the_end(self, unsure):
        done, _ = unsure
        section = done.stdout.partition(" inconclusive ===")[2]
        assert section.count("INCONCLUSIVE: gemm-inference-bf16-vs-") == 2

    def test_is_no_pass_for_who_reads_the_junit_file(self, unsure):
        _, folder = unsure
        (suite,) = ET.parse(folder / "junit.xml").iter("testsuite")
        assert (suite.get("tests"), suite.get("skipped"), suite.get("failures")) == ("3", "2", "0")
        reasons = [skip.get("message") for skip in suite.iter("skipped")]
        assert all(reason.startswith("INCONCLUSIVE: ") for reason in reasons)

    def test_a_skip_whose_text_says_so_is_a_skip(self, run_suite, tmp_path):
        """Known-bad: the outcome is what ended the test, not how its text begins."""
        file = tmp_path / "test_theirs.py"
        file.write_text("import pytest\ndef test_it():\n    pytest.skip('INCONCLUSIVE: no')\n")
        assert "1 skipped" in run_suite(tests=file).stdout
