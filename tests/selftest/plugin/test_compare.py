"""``--benchmark-compare`` on saved runs: what passes, what fails, what is refused by name."""

import json
import re
import shutil

import pytest

pytestmark = pytest.mark.selftest


@pytest.fixture(scope="module")
def stored(run_suite_in, tmp_path_factory):
    """A folder with a saved baseline."""
    folder = tmp_path_factory.mktemp("stored")
    done = run_suite_in(folder, "--benchmark-save", "night")
    assert done.returncode == 0, done.stdout
    return folder / ".benchmarks"


@pytest.fixture
def baseline(stored, tmp_path):
    shutil.copytree(stored, tmp_path / ".benchmarks")
    (saved,) = tmp_path.glob(".benchmarks/*/*/0001_night.json")
    return saved


def test_the_same_again_passes(run_suite, baseline):
    done = run_suite("--benchmark-compare", "--benchmark-compare-fail", "median:5%")
    assert done.returncode == 0, done.stdout
    assert "0001_nigh" in done.stdout


def test_a_slower_arm_fails_the_comparison(run_suite, baseline):
    slower = {"seconds": {"bf16@amx": 0.2}}
    done = run_suite("--benchmark-compare", "--benchmark-compare-fail", "median:5%", machine=slower)
    assert done.returncode != 0
    assert "Performance has regressed" in done.stdout


#: The whole machine is a tenth slower than it was.
LOADED = {
    "seconds": {
        "fp32@avx512": 0.99,
        "bf16@avx512_bf16": 1.32,
        "bf16@amx": 0.165,
        "int8@avx512_vnni": 0.264,
        "int8@amx": 0.176,
    }
}


def test_a_loaded_machine_fails_the_rows_of_seconds_and_not_those_of_ratios(run_suite, baseline):
    limit = ("--benchmark-compare", "--benchmark-compare-fail", "median:5%")
    everything = run_suite(*limit, machine=LOADED)
    assert everything.returncode == 1
    assert "Performance has regressed" in everything.stdout
    assert not re.search(r"test_speedup.* has failed", everything.stdout)
    ratios = run_suite(*limit, "-k", "test_speedup", machine=LOADED)
    assert ratios.returncode == 0, ratios.stdout
    assert re.search(r"4 passed, \d+ deselected", ratios.stdout)
    assert "AMX baseline" not in ratios.stdout


def test_a_slower_arm_fails_its_rows_of_ratios(run_suite, baseline):
    done = run_suite(
        *("--benchmark-compare", "--benchmark-compare-fail", "median:5%"),
        *("-k", "test_speedup"),
        machine={"seconds": {"bf16@amx": 0.2}},
    )
    assert done.returncode == 1
    failed = re.findall(r"(\S+) \(0001_night\) - Field 'median' has failed", done.stdout)
    assert failed == [
        "test_speedup[gemm-inference-bf16-amx-ipex-vs-fp32]",
        "test_speedup[gemm-inference-bf16-amx-ipex-vs-no-amx]",
    ]


def test_a_test_that_vanished_since_the_baseline_is_named(run_suite, baseline):
    content = json.loads(baseline.read_text())
    gone = content["benchmarks"][0] | {"fullname": "tests/test_old.py::test_speedup[old]"}
    content["benchmarks"].append(gone)
    baseline.write_text(json.dumps(content))
    slower = {"seconds": {"bf16@amx": 0.2}}
    done = run_suite("--benchmark-compare", "--benchmark-compare-fail", "median:5%", machine=slower)
    line = "in the baseline, not in this run: tests/test_old.py::test_speedup[old]: no such"
    assert line in done.stdout, "even where the comparison fails"
    assert done.stdout.count("in the baseline, not in this run") == 1


def test_a_test_that_is_skipped_now_is_named_with_its_reason(run_suite, baseline):
    done = run_suite("--benchmark-compare", machine={"usable": False})
    assert done.stdout.count("in the baseline, not in this run") == 9
    assert re.search(r"vs-fp32\]: skipped: no-silicon: No AMX", done.stdout)


def test_another_machine_does_not_see_this_ones_baseline(run_suite, baseline):
    done = run_suite("--benchmark-compare", machine={"kernel": "other"})
    assert done.returncode == 4
    assert "there is no baseline of this machine in" in done.stdout


def test_another_machines_file_is_compared_if_asked_for(run_suite, baseline):
    named, other = f"--benchmark-compare={baseline}", {"kernel": "other"}
    refused = run_suite(named, machine=other)
    assert refused.returncode == 4
    assert "another machine (kernel was 'fake', is 'other')" in refused.stdout
    done = run_suite(named, "--amx-across", "machine", machine=other)
    assert done.returncode == 0, done.stdout
    assert (
        "compared all the same with another machine (kernel was 'fake', is 'other')" in done.stdout
    )


def test_a_missing_baseline_is_refused(run_suite):
    done = run_suite("--benchmark-compare", "0042")
    assert done.returncode == 4
    assert "there is no baseline of this machine in" in done.stdout
    assert "--benchmark-save" in done.stdout


def test_a_path_taken_for_the_run_to_compare_with_is_explained(run_suite, tmp_path):
    done = run_suite("--benchmark-compare", tmp_path)
    assert done.returncode == 4
    assert "--benchmark-compare took" in done.stdout
    assert "--benchmark-compare=NUMBER" in done.stdout


def test_garbage_is_refused_by_name(run_suite, baseline):
    baseline.write_text('{"benchmarks": [{')
    done = run_suite("--benchmark-compare")
    assert done.returncode == 4
    assert "0001_night.json is not a readable pytest-benchmark file" in done.stdout


def test_another_machines_baseline_is_refused_by_name(run_suite, baseline):
    content = json.loads(baseline.read_text())
    content["machine_info"]["amx_suite"]["fingerprint"]["cores"] = "9999"
    baseline.write_text(json.dumps(content))
    done = run_suite("--benchmark-compare")
    assert done.returncode == 4
    assert "cores was '9999'" in done.stdout


def test_another_seed_is_refused_by_name_unless_it_is_asked_for(run_suite, baseline):
    seed = ("--benchmark-compare", "--amx-seed", "7")
    done = run_suite(*seed)
    assert done.returncode == 1
    assert "the baseline is of another seed (seed was '0', is '7')" in done.stdout
    assert "--amx-across seed" in done.stdout
    allowed = run_suite(*seed, "--amx-across", "seed")
    assert allowed.returncode == 0, allowed.stdout
    assert allowed.stdout.count("compared all the same with another seed") == 1


def test_another_case_under_the_same_name_is_refused(run_suite, baseline):
    content = json.loads(baseline.read_text())
    for row in content["benchmarks"]:
        row["extra_info"]["case"] = "something else"
    baseline.write_text(json.dumps(content))
    done = run_suite("--benchmark-compare", "--amx-across", "seed")
    assert done.returncode == 1
    assert re.search(r"measured something else, this run measures gemm-\S+-s0", done.stdout)
