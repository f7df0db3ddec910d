"""Whole runs as the user sees them: outcomes, exit codes, rows and files."""

import json
import os
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from amx_suite.trial.decide import SHOWN_ROUNDS

ROOT = Path(__file__).resolve().parents[3]

pytestmark = pytest.mark.selftest

SLOW = {"seconds": {"bf16@amx": 0.8}}
HIDDEN = {"usable": False}


def rows(path):
    return {row["name"]: row for row in json.loads(path.read_text())["benchmarks"]}


@pytest.fixture(scope="module")
def slow(run_suite_in, tmp_path_factory):
    """A run on a machine with a slow arm, and its folder."""
    folder = tmp_path_factory.mktemp("slow")
    files = ("--benchmark-save", "night", "--junitxml", "junit.xml")
    return run_suite_in(folder, "-rf", *files, machine=SLOW), folder


@pytest.fixture(scope="module")
def without(run_suite_in, tmp_path_factory):
    """A run without AMX on a machine that is never quiet, and its folder."""
    folder = tmp_path_factory.mktemp("without")
    machine = {**HIDDEN, "busy": 10**9}
    return run_suite_in(folder, "-rps", "--benchmark-json", "out.json", machine=machine), folder


class TestGoodMachine:
    def test_passes(self, level_3):
        done, _ = level_3
        assert done.returncode == 0, done.stdout
        assert re.search(r" \d+ passed, (\d+ skipped, )?\d+ deselected in", done.stdout)
        assert "AMX speedups" in done.stdout
        assert "resnet50-inference-ipex b16x224: preparing fp32@no_amx (1 of 7)" in done.stdout

    def test_ids_read_like_their_cases(self, level_3):
        assert "test_arm[resnet50-inference-bf16-amx-ipex]" in level_3[0].stdout
        assert "test_speedup[bert-training-bf16-amx-ipex-vs-no-amx]" in level_3[0].stdout

    def test_row_times_are_the_childs(self, level_3):
        found = rows(level_3[1] / "out.json")
        arm = found["test_arm[gemm-inference-bf16-amx-ipex]"]
        assert arm["stats"]["median"] == pytest.approx(0.15)
        assert arm["stats"]["rounds"] == 12
        ratio = found["test_speedup[gemm-inference-bf16-amx-ipex-vs-fp32]"]
        assert ratio["stats"]["median"] == pytest.approx(0.15 / 0.9)
        assert ratio["extra_info"]["verdict"] == "PASS"

    def test_json_holds_the_whole_run(self, level_3):
        written = json.loads((level_3[1] / "out.json").read_text())
        for trial in written["amx_suite"]["trials"]:
            assert len(trial["measurement"]["rounds"]) == 12
            assert trial["measurement"]["arms"][2]["evidence"]["kernels"]
        machine = written["machine_info"]["amx_suite"]["fingerprint"]
        assert written["amx_suite"]["machine"] == machine
        assert "amx-suite" in written["amx_suite"]["versions"]
        assert not [key for key in written["machine_info"] if "hz" in key.lower()]


class TestSlowArm:
    def test_fails_its_gates_only(self, slow):
        done, _ = slow
        assert done.returncode == 1
        failed = re.findall(r"^FAILED \S+\[(\S+)\]", done.stdout, re.MULTILINE)
        assert failed == [
            "gemm-inference-bf16-amx-ipex-vs-fp32",
            "gemm-inference-bf16-amx-ipex-vs-no-amx",
        ]
        assert "below the minimum" in done.stdout

    def test_failed_check_is_no_baseline(self, slow):
        (saved,) = slow[1].glob(".benchmarks/*/*/0001_night.json")
        names = rows(saved)
        assert "test_speedup[gemm-inference-int8-amx-ipex-vs-fp32]" in names
        assert "test_speedup[gemm-inference-bf16-amx-ipex-vs-fp32]" not in names

    def test_junit_holds_the_verdict(self, slow):
        properties = {
            case.get("name"): {p.get("name"): p.get("value") for p in case.iter("property")}
            for case in ET.parse(slow[1] / "junit.xml").iter("testcase")
        }
        found = properties["test_speedup[gemm-inference-bf16-amx-ipex-vs-fp32]"]
        assert found["amx_verdict"] == "FAIL"
        assert float(found["amx_speedup"]) == pytest.approx(0.9 / 0.8, rel=1e-3)
        assert "below the minimum" in found["amx_reason"]


class TestEngines:
    def test_header_names_the_others(self, run_suite):
        machine = {"engines": ["ipex", "eager"]}
        one = run_suite("--collect-only", machine=machine).stdout
        assert "engines: ipex (also available: eager)," in one
        assert "eager]" not in one
        both = run_suite("--collect-only", "--amx-engine", "all", machine=machine).stdout
        assert "engines: ipex, eager," in both
        assert "test_arm[gemm-inference-bf16-amx-eager]" in both

    def test_skipped_without_any(self, run_suite):
        done = run_suite("-rs", machine={"engines": []})
        assert done.returncode == 0, done.stdout
        assert "no engine is available here: ipex: not here; inductor: not here" in done.stdout


class TestWithoutAmx:
    def test_other_arms_are_measured(self, without):
        """A missing instruction set skips its arms, each with the reason and remedy."""
        done, _ = without
        assert done.returncode == 0
        assert re.search(r"level 2, by design \d+ to \d+ s, engines: ipex", done.stdout)
        assert "3 passed, 9 skipped" in done.stdout
        for arm in ("fp32-no_amx", "bf16-avx512_bf16", "int8-avx512_vnni"):
            assert f"::test_arm[gemm-inference-{arm}-ipex]\n" in done.stdout
        reason = "NOT_APPLICABLE: no-silicon: No AMX on the fake machine. Buy another."
        assert reason in done.stdout

    def test_shown_without_waiting_for_quiet(self, without):
        found = rows(without[1] / "out.json")
        assert [row["stats"]["rounds"] for row in found.values()] == [SHOWN_ROUNDS] * 3

    def test_int8_on_avx2_is_shown(self, run_suite, tmp_path):
        machine = {**HIDDEN, "flags": ["avx2", "fma"], "seconds": {"int8@avx2": 0.5}}
        done = run_suite("--benchmark-json", "out.json", "-v", machine=machine)
        assert done.returncode == 0
        assert "test_arm[gemm-inference-int8-avx2-ipex]" in rows(tmp_path / "out.json")
        assert re.search(r"int8@avx2 .*no AMX", done.stdout)

    def test_failed_if_required(self, run_suite):
        done = run_suite(machine=HIDDEN, AMX_SUITE_REQUIRE="1")
        assert done.returncode == 1
        assert "AMX is required: no-silicon" in done.stdout
        assert "1 error" in done.stdout.splitlines()[-1]
        assert "preparing" not in done.stdout

    def test_wrong_results_fail(self, run_suite):
        done = run_suite(machine={**HIDDEN, "reason": "wrong-result"})
        assert done.returncode == 1
        assert "skipped" not in done.stdout.splitlines()[-1]


class TestBenchmarkOptions:
    def test_disable_judges_no_speed(self, run_suite):
        done = run_suite("--benchmark-disable", "-rs", machine=SLOW)
        assert done.returncode == 0
        assert "speed is not judged under --benchmark-disable" in done.stdout
        assert "6 passed, 6 skipped" in done.stdout

    def test_skip_starts_no_worker(self, run_suite):
        done = run_suite("--benchmark-skip")
        assert done.returncode == 0
        assert "preparing" not in done.stdout
        assert "11 skipped" in done.stdout

    def test_only_leaves_out_other_tests(self, run_suite, tmp_path):
        other = tmp_path / "test_other.py"
        other.write_text("def test_other(amx_trial):\n    amx_trial.outputs(amx_trial.arms[0])\n")
        assert "9 passed, 4 skipped" in run_suite("--benchmark-only", other).stdout

    def test_xdist_is_refused(self, run_suite):
        done = run_suite("-n", "1")
        assert done.returncode == 1
        assert "timed tests need the machine to themselves" in done.stdout


class TestWaivers:
    def run(self, run_suite, tmp_path, expires):
        table = tmp_path / "waivers.toml"
        ids = (
            "gemm-inference-bf16-amx-ipex-vs-fp32",
            "gemm-inference-bf16-vs-no-amx-b16x128-ipex-c2",
        )
        table.write_text(
            "".join(
                f'[[waiver]]\nid = "{name}"\nreason = "power cap"\nowner = "lab-2"\n'
                f"expires = {expires}\n"
                for name in ids
            )
        )
        return run_suite("--amx-waivers", table, machine=SLOW)

    def test_waived_failures_fail_no_run(self, run_suite, tmp_path):
        done = self.run(run_suite, tmp_path, "9999-12-31")
        assert done.returncode == 0, done.stdout
        assert "8 passed" in done.stdout
        assert "2 waived in" in done.stdout
        assert "below the minimum" in done.stdout
        assert "(waived by lab-2 until 9999-12-31: power cap)" in done.stdout

    def test_expired_waiver_waives_nothing(self, run_suite, tmp_path):
        done = self.run(run_suite, tmp_path, "2020-01-01")
        assert done.returncode == 1
        assert "2 failed" in done.stdout
        assert "warning: the waiver of" in done.stdout
        assert "expired on 2020-01-01" in done.stdout


class TestHealth:
    def test_both_readings_and_findings_are_kept(self, run_suite, tmp_path):
        machine = {
            "before": {"uptime_seconds": 60.0, "corrected_errors": {"mc0": 1}, "turbo": False},
            "after": {"uptime_seconds": 120.0, "corrected_errors": {"mc0": 3}, "turbo": False},
        }
        options = ("--benchmark-json", "out.json", "--amx-output", "out")
        done = run_suite(*options, machine=machine)
        assert done.returncode == 0, done.stdout
        assert "Warning: corrected memory errors during the run (2, mc0)" in done.stdout
        assert "turbo is switched off" not in done.stdout, "notes are for the report"
        kept = json.loads((tmp_path / "out.json").read_text())["amx_suite"]
        assert kept["health_before"]["corrected_errors"] == {"mc0": 1}
        assert kept["health_after"]["corrected_errors"] == {"mc0": 3}
        severities = [finding["severity"] for finding in kept["findings"]]
        assert severities == ["warning", "note", "note"]
        assert kept["identity"]["host_name"] == "fake"
        page = (tmp_path / "out" / "summary.md").read_text()
        assert "- Note: turbo is switched off" in page
        assert page.count("not read, so not judged: ") == 1

    def test_selftests_alone_judge_no_machine(self, run_suite, tmp_path):
        test = tmp_path / "test_own.py"
        test.write_text(
            "import pytest\nfrom amx_suite.plugin import run\n"
            "@pytest.mark.selftest\ndef test_own(): run.detect = None\n"
        )
        done = run_suite("-q", tests=test, machine={"after": {"machine_checks": 1}})
        assert done.returncode == 0, "the machine is not detected"
        assert "host health" not in done.stdout


class TestQuota:
    def test_below_one_cpu_times_nothing(self, run_suite):
        done = run_suite("-rs", "--amx-output", "out", machine={"quota": 0.5})
        assert done.returncode == 0, done.stdout
        assert "a CPU quota leaves this process the time of 0.5 CPUs" in done.stdout
        assert "6 passed, 6 skipped" in done.stdout
        assert "quiet rounds" not in done.stdout


class TestFaults:
    def test_fast_without_evidence_fails(self, run_suite):
        done = run_suite(machine={"amx_share": {"int8@amx": 0.0}})
        assert done.returncode == 1
        assert "NO_EVIDENCE: gemm-inference-int8-vs-fp32" in done.stdout

    def test_lost_worker_fails_its_trial_once(self, run_suite):
        done = run_suite("--tb=line", machine={"faults": {"bf16@amx slice": "died"}})
        assert done.returncode == 1
        assert "11 failed" in done.stdout
        assert done.stdout.count("preparing") == 7, "the trial is not started again"
        assert "killed by SIGKILL" in done.stdout

    def test_absent_arm_skips_its_tests(self, run_suite):
        done = run_suite("-rs", machine={"refused": {"int8@amx": "no INT8 in this version"}})
        assert done.returncode == 0, done.stdout
        assert "NOT_APPLICABLE: no INT8 in this version" in done.stdout
        assert "7 passed, 5 skipped" in done.stdout

    def test_arm_beyond_the_cpu_decides_nothing(self, run_suite):
        lacking = {"fp16@amx_fp16": "this CPU lacks amx_fp16"}
        done = run_suite("-rs", machine={"engines": ["eager"], "refused": lacking})
        assert done.returncode == 0, done.stdout
        assert "NOT_APPLICABLE: this CPU lacks amx_fp16" in done.stdout
        assert re.search(r"fp16@avx512_fp16 +900\.0 .*no AMX: jail held", done.stdout)

    def test_arm_beyond_its_ceiling_fails(self, run_suite):
        done = run_suite("-rf", machine={"faults": {"bf16@avx512_bf16 prepare": "beyond"}})
        assert done.returncode == 1
        assert "NO_EVIDENCE: bf16@avx512_bf16: ipex ignores its ceiling" in done.stdout
        assert "FAILED" in done.stdout

    def test_file_that_cannot_be_written_decides_nothing(self, run_suite, tmp_path):
        test = tmp_path / "test_own.py"
        test.write_text(
            "import pytest\n"
            "from types import SimpleNamespace\n"
            "from amx_suite.errors import OutputError\n"
            "from amx_suite.plugin import fixtures\n"
            "def full(*_): raise OutputError('cannot write in /full')\n"
            "fixtures.store_mismatch = full\n"
            "child = pytest.fixture(lambda: full())\n"
            "@pytest.mark.instruction\n"
            "def test_setup(child): pass\n"
            "@pytest.mark.instruction\n"
            "def test_call(): full()\n"
            "@pytest.mark.instruction\n"
            "def test_wrong(amx_mismatch): pytest.fail(amx_mismatch(SimpleNamespace(first=1)))\n"
        )
        done = run_suite("--amx-level=1", tests=test)
        assert "1 failed, 2 inconclusive in" in done.stdout
        assert done.stdout.count("- INCONCLUSIVE: cannot write in /full") == 2
        assert "it was not stored: cannot write in /full" in done.stdout, "wrong stays wrong"

    def test_ctrl_c_reports_what_was_measured(self, run_suite):
        faults = {"int8@amx prove": "interrupt"}
        done = run_suite(machine={"faults": faults, "after": {"machine_checks": 1}})
        assert done.returncode == 2
        health = "Error: machine check exceptions since the machine started"
        assert health in done.stdout, "it is read again"
        assert "AMX speedups" in done.stdout
        assert "KeyboardInterrupt" in done.stdout

    def test_one_cpu_is_enough(self, run_suite, monkeypatch):
        monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0})
        done = run_suite(machine={"quota": 1.0})
        assert done.returncode == 0, done.stdout
        assert "10 passed" in done.stdout
        assert "instance: 1 core" in done.stdout
        assert "gemm-inference-ipex, b16x128, 1 core" in done.stdout

    def test_bad_input_is_a_usage_error(self, run_suite):
        done = run_suite("--amx-engine", "eager")
        assert done.returncode == 4
        assert "engine 'eager' cannot be used here: not here" in done.stdout
        assert "Traceback" not in done.stdout


class TestDispatch:
    TESTS = ROOT / "tests" / "dispatch"

    def test_times_nothing(self, run_suite):
        """So it needs no pytest-benchmark."""
        done = run_suite("-p", "no:benchmark", tests=self.TESTS)
        assert done.returncode == 0, done.stdout
        assert "6 passed" in done.stdout
        assert "AMX speedups" not in done.stdout

    def test_each_arm_is_judged_alone(self, run_suite):
        done = run_suite("-rf", tests=self.TESTS, machine={"amx_share": {"int8@amx": 0.3}})
        assert done.returncode == 1
        assert "1 failed, 5 passed" in done.stdout
        assert "NO_EVIDENCE: int8@amx: 30% of the step's operations were on AMX" in done.stdout

    def test_one_arm_alone_fails_nothing(self, run_suite):
        """As on a CPU with AVX2 only: there is none that it could be mistaken for."""
        others = ("bf16@avx512_bf16", "bf16@amx", "int8@avx512_vnni", "int8@amx")
        machine = {"refused": dict.fromkeys(others, "this CPU lacks it")}
        done = run_suite("-rs", tests=self.TESTS, machine=machine)
        assert done.returncode == 0, done.stdout
        assert "1 passed, 7 skipped" in done.stdout
        assert "no two arms run here that could be mistaken: this CPU lacks it" in done.stdout

    def test_shares_evidence_with_timed_tests(self, run_suite):
        done = run_suite(ROOT / "tests" / "performance", tests=self.TESTS)
        assert done.returncode == 0, done.stdout
        assert done.stdout.count("taking evidence of") == 5


class TestParametrization:
    """The fixtures in a test file that is not the suite's."""

    @pytest.fixture
    def run_theirs(self, run_suite, tmp_path):
        def run(text, *arguments):
            file = tmp_path / "test_theirs.py"
            file.write_text("import pytest\n" + text)
            return run_suite("-v", *arguments, tests=file)

        return run

    def test_isa_worker_runs_under_each_ceiling(self, run_theirs):
        done = run_theirs(
            "def test_it(isa_worker, isa_workers, amx_engine):\n"
            "    print('under', isa_worker.case.isa)\n"
            "    assert isa_workers(isa_worker.case.isa, amx_engine) is isa_worker\n",
            "-rP",
        )
        assert "6 passed" in done.stdout
        for isa in ("no_amx", "avx512_vnni", "avx512_bf16", "amx"):
            assert f"test_it[ipex-{isa}]" in done.stdout
            assert f"under {isa}\n" in done.stdout

    def test_marker_narrows_trials(self, run_theirs):
        done = run_theirs(
            "@pytest.mark.trials(model='bert')\n"
            "def test_it(amx_trial):\n    assert amx_trial.arms[0].workload.model == 'bert'\n",
            *("--amx-level", "3"),
        )
        assert "2 passed" in done.stdout
        assert "test_it[bert-training-ipex]" in done.stdout

    def test_arm_and_gate_together_are_refused(self, run_theirs):
        done = run_theirs("def test_it(amx_trial, amx_arm, amx_gate):\n    pass\n")
        assert done.returncode != 0
        assert "asks for both amx_arm and amx_gate; ask for one" in done.stdout
