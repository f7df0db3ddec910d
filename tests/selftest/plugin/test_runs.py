"""What the person at the terminal sees: outcomes, letters, exit codes, rows, files."""

import json
import os
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

ROOT = Path(__file__).resolve().parents[3]

pytestmark = pytest.mark.selftest

SLOW = {"seconds": {"bf16@amx": 0.8}}


def rows(path):
    return {row["name"]: row for row in json.loads(path.read_text())["benchmarks"]}


@pytest.fixture(scope="module")
def good(run_suite_in, tmp_path_factory):
    """The folder of one run on a good machine, with its JSON."""
    folder = tmp_path_factory.mktemp("good")
    assert run_suite_in(folder, "--benchmark-json", "out.json").returncode == 0
    return folder


@pytest.fixture(scope="module")
def slow(run_suite_in, tmp_path_factory):
    """One run on a machine with a slow arm, and its folder."""
    folder = tmp_path_factory.mktemp("slow")
    files = ("--benchmark-save", "night", "--junitxml", "junit.xml")
    return run_suite_in(folder, "-rf", *files, machine=SLOW), folder


def test_a_good_machine_passes_and_shows_its_table(run_suite):
    done = run_suite("--amx-level", "3", "-rs")
    assert done.returncode == 0, done.stdout
    assert "where there are two: this run has level 3 and ipex" in done.stdout
    assert re.search(r"\d+ passed, 1 skipped, \d+ deselected in", done.stdout)
    assert "AMX speedups" in done.stdout
    assert "resnet50-inference-ipex b16x224: preparing fp32@avx512 (1 of 5)" in done.stdout
    assert "PASS" in done.stdout


def test_test_ids_read_like_their_cases(run_suite):
    listed = run_suite("--amx-level", "3", "--collect-only", "-q").stdout
    assert "test_arm[resnet50-inference-bf16-amx-ipex]" in listed
    assert "test_speedup[bert-training-bf16-amx-ipex-vs-no-amx]" in listed


def test_a_slow_arm_fails_its_gates_only(slow):
    done, _ = slow
    assert done.returncode == 1
    failed = re.findall(r"^FAILED \S+\[(\S+)\]", done.stdout, re.MULTILINE)
    assert failed == [
        "gemm-inference-bf16-amx-ipex-vs-fp32",
        "gemm-inference-bf16-amx-ipex-vs-no-amx",
    ]
    assert "below the minimum" in done.stdout


def test_fast_without_evidence_fails(run_suite):
    done = run_suite(machine={"amx_share": {"int8@amx": 0.0}})
    assert done.returncode == 1
    assert "NO_EVIDENCE: gemm-inference-int8-vs-fp32" in done.stdout


class TestInconclusive:
    UNSURE = {"seconds": {"bf16@amx": [0.1, 0.9]}}

    def test_is_an_outcome_of_its_own(self, run_suite):
        done = run_suite("--amx-budget", "1", machine=self.UNSURE)
        assert done.returncode == 0
        assert re.search(r"\d+ passed.*2 inconclusive", done.stdout)
        assert "skipped" not in done.stdout.splitlines()[-1]

    def test_fails_if_strict(self, run_suite):
        done = run_suite("--amx-budget", "1", "--amx-strict", machine=self.UNSURE)
        assert done.returncode == 1
        assert re.search(r"2 failed", done.stdout)


class TestWithoutAmx:
    HIDDEN = {"usable": False}

    def test_skips_with_code_sentence_and_remedy(self, run_suite):
        done = run_suite("-rs", machine=self.HIDDEN)
        assert done.returncode == 0
        assert "no-silicon: No AMX on the fake machine. Buy another." in done.stdout
        assert "passed" not in done.stdout.splitlines()[-1]

    def test_fails_if_required(self, run_suite):
        done = run_suite("--amx-require", machine=self.HIDDEN)
        assert done.returncode == 1
        assert "AMX is required: no-silicon" in done.stdout

    def test_a_cpu_that_computes_wrong_is_a_failure_not_a_skip(self, run_suite):
        done = run_suite(machine={**self.HIDDEN, "reason": "wrong-result"})
        assert done.returncode == 1
        assert "skipped" not in done.stdout.splitlines()[-1]

    def test_may_be_required_by_the_environment(self, run_suite):
        done = run_suite(machine=self.HIDDEN, environ={"AMX_SUITE_REQUIRE": "1"})
        assert done.returncode == 1


class TestRows:
    def test_hold_the_childs_own_figures(self, good):
        found = rows(good / "out.json")
        arm = found["test_arm[gemm-inference-bf16-amx-ipex]"]
        assert arm["stats"]["median"] == pytest.approx(0.15)
        assert arm["stats"]["rounds"] == 12
        ratio = found["test_speedup[gemm-inference-bf16-amx-ipex-vs-fp32]"]
        assert ratio["stats"]["median"] == pytest.approx(0.15 / 0.9)
        assert ratio["extra_info"]["verdict"] == "PASS"

    def test_the_whole_run_stands_beside_them(self, good):
        written = json.loads((good / "out.json").read_text())
        (trial,) = written["amx_suite"]["trials"]
        assert len(trial["measurement"]["rounds"]) == 12
        assert trial["measurement"]["arms"][2]["evidence"]["kernels"]
        assert not [key for key in written["machine_info"] if "hz" in key.lower()]

    def test_of_a_failed_check_are_no_baseline(self, slow):
        _, folder = slow
        (saved,) = folder.glob(".benchmarks/*/*/0001_night.json")
        names = rows(saved)
        assert "test_speedup[gemm-inference-int8-amx-ipex-vs-fp32]" in names
        assert "test_speedup[gemm-inference-bf16-amx-ipex-vs-fp32]" not in names

    def test_junit_holds_verdict_speedup_and_reason(self, slow):
        _, folder = slow
        cases = ET.parse(folder / "junit.xml").iter("testcase")
        properties = {
            case.get("name"): {p.get("name"): p.get("value") for p in case.iter("property")}
            for case in cases
        }
        found = properties["test_speedup[gemm-inference-bf16-amx-ipex-vs-fp32]"]
        assert found["amx_verdict"] == "FAIL"
        assert float(found["amx_speedup"]) == pytest.approx(0.9 / 0.8, rel=1e-3)
        assert "below the minimum" in found["amx_reason"]


class TestBenchmarkOptions:
    def test_disable_runs_each_arm_once_and_judges_no_speed(self, run_suite):
        done = run_suite("--benchmark-disable", "-rs", machine=SLOW)
        assert done.returncode == 0
        assert "speed is not judged under --benchmark-disable" in done.stdout
        assert re.search(r"5 passed, 4 skipped", done.stdout)

    def test_skip_starts_no_worker(self, run_suite):
        done = run_suite("--benchmark-skip")
        assert done.returncode == 0
        assert "preparing" not in done.stdout
        assert re.search(r"9 skipped", done.stdout)

    def test_only_leaves_out_what_is_no_row(self, run_suite, tmp_path):
        other = tmp_path / "test_other.py"
        other.write_text("def test_other(amx_trial):\n    amx_trial.outputs(amx_trial.arms[0])\n")
        done = run_suite("--benchmark-only", other)
        assert re.search(r"9 passed, 1 skipped", done.stdout)

    def test_xdist_is_refused_for_timed_tests(self, run_suite):
        done = run_suite("-n", "1")
        assert done.returncode == 1
        assert "timed tests need the machine to themselves" in done.stdout


class TestFaults:
    def test_a_lost_worker_fails_every_test_of_its_trial_once(self, run_suite):
        done = run_suite(machine={"faults": {"bf16@amx slice": "died"}})
        assert done.returncode == 1
        assert "9 failed" in done.stdout
        assert done.stdout.count("preparing") == 5, "the trial is not started anew"
        assert "killed by SIGKILL" in done.stdout

    def test_ctrl_c_reports_what_was_measured(self, run_suite, tmp_path):
        faults = {"faults": {"int8@amx prove": "interrupt"}}
        done = run_suite("--benchmark-json", "out.json", machine=faults)
        assert done.returncode == 2
        assert "AMX speedups" in done.stdout
        assert "KeyboardInterrupt" in done.stdout

    def test_one_cpu_is_enough_and_said(self, run_suite):
        one = {min(os.sched_getaffinity(0))}
        done = run_suite(
            "--benchmark-json", "out.json", before=lambda: os.sched_setaffinity(0, one)
        )
        assert done.returncode == 0, done.stdout
        assert "threads 1," in done.stdout
        assert "gemm-inference-ipex, b16x128, 1 threads" in done.stdout

    def test_more_threads_than_cpus_are_refused(self, run_suite):
        done = run_suite("--amx-threads", "100000")
        assert done.returncode == 4
        assert "the CPUs this process may use" in done.stdout

    @pytest.mark.parametrize(
        ("arguments", "complaint"),
        [
            (["--amx-engine", "ipx"], "unknown engine .*'ipx'.*Did you mean 'ipex'"),
            (["--amx-gates", "/nowhere.toml"], "/nowhere.toml"),
        ],
    )
    def test_bad_input_is_a_usage_error_before_anything_runs(self, run_suite, arguments, complaint):
        done = run_suite(*arguments)
        assert done.returncode == 4
        assert re.search(complaint, done.stdout)
        assert "Traceback" not in done.stdout


class TestDispatch:
    TESTS = ROOT / "tests" / "dispatch"

    def test_alone_it_times_nothing(self, run_suite):
        done = run_suite(tests=self.TESTS)
        assert done.returncode == 0, done.stdout
        assert "6 passed" in done.stdout
        assert "gates decided" not in done.stdout

    def test_each_arm_is_judged_on_its_own(self, run_suite):
        done = run_suite("-rf", tests=self.TESTS, machine={"amx_share": {"int8@amx": 0.3}})
        assert done.returncode == 1
        assert "1 failed, 5 passed" in done.stdout
        assert "NO_EVIDENCE: int8@amx: 30% of the matrix primitives' time was on AMX" in done.stdout

    def test_beside_the_timed_tests_it_takes_no_further_step(self, run_suite):
        done = run_suite(ROOT / "tests" / "performance", tests=self.TESTS)
        assert done.returncode == 0, done.stdout
        assert done.stdout.count("taking evidence of") == 5


class TestOthersTests:
    """The fixtures in a test file that is not the suite's."""

    @pytest.fixture
    def theirs(self, tmp_path):
        def write(text):
            file = tmp_path / "test_theirs.py"
            file.write_text("import pytest\n" + text)
            return file

        return write

    def test_isa_worker_runs_once_under_each_ceiling(self, run_suite, theirs):
        file = theirs(
            "def test_it(isa_worker, isa_workers, amx_engine):\n"
            "    print('under', isa_worker.case.isa)\n"
            "    assert isa_workers(isa_worker.case.isa, amx_engine) is isa_worker\n"
        )
        done = run_suite("-rP", "-v", tests=file)
        assert "4 passed" in done.stdout
        for isa in ("avx512", "avx512_vnni", "avx512_bf16", "amx"):
            assert f"test_it[ipex-{isa}]" in done.stdout
            assert f"under {isa}\n" in done.stdout

    def test_amx_support_gates(self, run_suite, theirs):
        file = theirs("def test_it(amx_support):\n    assert amx_support.support.usable\n")
        assert "1 passed" in run_suite(tests=file).stdout
        hidden = run_suite("-rs", tests=file, machine={"usable": False})
        assert "1 skipped" in hidden.stdout
        assert "no-silicon" in hidden.stdout

    def test_trials_are_narrowed_by_their_marker(self, run_suite, theirs):
        file = theirs(
            "@pytest.mark.trials(model='bert')\n"
            "def test_it(amx_trial):\n    assert amx_trial.arms[0].workload.model == 'bert'\n"
        )
        done = run_suite("-v", "--amx-level", "3", tests=file)
        assert "2 passed" in done.stdout
        assert "test_it[bert-training-ipex]" in done.stdout

    def test_arm_and_gate_together_are_refused(self, run_suite, theirs):
        file = theirs("def test_it(amx_trial, amx_arm, amx_gate):\n    pass\n")
        done = run_suite(tests=file)
        assert done.returncode != 0
        assert "asks for both amx_arm and amx_gate; ask for one" in done.stdout
