"""Quiet references, twins and inconclusive verdicts as the person at the terminal meets them."""

import json
import re
from xml.etree import ElementTree as ET

import pytest
from fake_trial import FAKE_TOPOLOGY

from amx_suite.calibration.storage import save_calibration
from amx_suite.core.noise import Calibration
from amx_suite.host import host_traits
from amx_suite.host.facts import HostFacts

pytestmark = pytest.mark.selftest

UNSURE = {"seconds": {"bf16@amx": [0.1, 0.9]}}
#: What the fake machine's facts and the fake prober say.
MACHINE = host_traits(
    HostFacts(system="linux", machine="x86_64", kernel_release="fake", topology=FAKE_TOPOLOGY)
)
RATES = {"tile": 2e12, "fma": 1e11, "memory": 1e10}


@pytest.fixture
def reference(tmp_path):
    """Stores a quiet reference; returns its file."""

    def store(machine=MACHINE, threads=1, **factors):
        rates = {unit: rate * factors.get(unit, 1) for unit, rate in RATES.items()}
        path = tmp_path / "reference.json"
        save_calibration(
            Calibration(machine, threads, "2025-11-22", 60.0, 600, rates, 1.0, 60.0, None, {}), path
        )
        return path

    return store


def test_without_a_reference_header_and_report_say_so(run_suite, tmp_path):
    done = run_suite("--amx-output", tmp_path, environ={"XDG_DATA_HOME": str(tmp_path)})
    assert done.returncode == 0, done.stdout
    assert "amx quiet: no reference of this machine is stored" in done.stdout
    notes = (tmp_path / "summary.md").read_text().partition("## Notes")[2]
    assert "a host that is always busy looks quiet. Run amx-suite calibrate" in notes


def test_the_named_reference_is_used_and_stored_with_the_rounds(run_suite, reference):
    done = run_suite(
        *("--amx-reference", reference(), "--amx-threads", 1, "--benchmark-json", "out.json")
    )
    assert done.returncode == 0, done.stdout
    assert "amx quiet: by the reference of 2025-11-22" in done.stdout


def test_a_machine_busier_than_its_reference_is_inconclusive(run_suite, reference):
    path = reference(tile=2)
    done = run_suite("--amx-reference", path, "--amx-threads", 1, "--amx-budget", 1)
    assert done.returncode == 0
    assert re.search(r"5 passed, .*4 inconclusive", done.stdout)
    assert "rounds were quiet, and 8 are needed" in done.stdout
    assert "tile unit, down to 50% of its rate" in done.stdout


def test_another_machines_reference_is_refused_by_name(run_suite, reference):
    path = reference({**MACHINE, "microcode": "0x99"})
    done = run_suite("--amx-reference", path, "--amx-threads", 1)
    assert done.returncode == 4
    assert "microcode was '0x99'" in done.stdout
    assert "amx-suite calibrate" in done.stdout
    assert "preparing" not in done.stdout


@pytest.fixture(scope="module")
def unsure(run_suite_in, tmp_path_factory):
    """A run with two inconclusive gates, and its folder."""
    folder = tmp_path_factory.mktemp("unsure")
    arguments = ("-q", "-k", "bf16-amx", "--amx-budget", "1", "--junitxml", "junit.xml")
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


def test_level_3_measures_amx_twice_and_corrects_for_every_gate_of_the_run(run_suite, tmp_path):
    slow = {"seconds": {"bf16@amx": 0.8}}
    done = run_suite("--amx-level", "3", "--benchmark-json", "out.json", machine=slow)
    assert done.returncode == 1
    assert "preparing bf16@amx#2 (6 of 6)" in done.stdout
    assert "#2]" not in done.stdout
    written = json.loads((tmp_path / "out.json").read_text())["amx_suite"]["trials"]
    gates = [gate for trial in written for gate in trial["gates"]]
    failed = [gate for gate in gates if gate["verdict"] == "FAIL"]
    assert failed
    assert all(gate["e_fail_session"] >= 40 for gate in failed)
    assert failed[0]["e_fail_session"] < failed[0]["e_fail"]
