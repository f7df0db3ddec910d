"""``--benchmark-compare`` on saved runs: what passes, what fails, what is refused."""

import copy
import json
import re
import shutil

import pytest

from amx_suite.errors import ResultsFileError
from amx_suite.host.fingerprint import machine_id
from amx_suite.plugin.baseline import check_machine, machine_info, storage_of_machine

pytestmark = pytest.mark.selftest

LIMIT = ("--benchmark-compare", "--benchmark-compare-fail", "median:5%")
SLOW_ARM = {"seconds": {"bf16@amx": 0.2}}
#: Every arm is a tenth slower than in the baseline.
SLOW_MACHINE = {
    "seconds": {
        "fp32@no_amx": 0.99,
        "bf16@avx512_bf16": 1.386,
        "bf16@amx": 0.165,
        "int8@avx512_vnni": 0.528,
        "int8@amx": 0.099,
    }
}
OURS = machine_info({"cores": "2", "kernel": "6.1"})


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


def change(baseline, edit):
    content = json.loads(baseline.read_text())
    edit(content)
    baseline.write_text(json.dumps(content))


def test_unchanged_run_passes(run_suite, baseline):
    done = run_suite(*LIMIT)
    assert done.returncode == 0, done.stdout
    assert "0001_nigh" in done.stdout
    assert "AMX baseline" not in done.stdout


def test_slow_machine_fails_seconds_not_ratios(run_suite, baseline):
    everything = run_suite(*LIMIT, machine=SLOW_MACHINE)
    assert everything.returncode == 1
    assert "Performance has regressed" in everything.stdout
    assert not re.search(r"test_speedup.* has failed", everything.stdout)
    ratios = run_suite(*LIMIT, "-k", "test_speedup", machine=SLOW_MACHINE)
    assert ratios.returncode == 0, ratios.stdout
    assert re.search(r"4 passed, \d+ deselected", ratios.stdout)
    assert "AMX baseline" not in ratios.stdout, "deselected tests are not missing"


def test_slow_arm_and_vanished_test_are_named(run_suite, baseline):
    def add_row(content):
        old = {"fullname": "tests/test_old.py::test_speedup[old]"}
        content["benchmarks"].append(content["benchmarks"][0] | old)

    change(baseline, add_row)
    done = run_suite(*LIMIT, machine=SLOW_ARM)
    assert done.returncode == 1
    failed = re.findall(r"(\S+) \(0001_night\) - Field 'median' has failed", done.stdout)
    assert sorted(failed) == [
        "test_arm[gemm-inference-bf16-amx-ipex]",
        "test_speedup[gemm-inference-bf16-amx-ipex-vs-fp32]",
        "test_speedup[gemm-inference-bf16-amx-ipex-vs-no-amx]",
    ]
    line = "in the baseline, not in this run: tests/test_old.py::test_speedup[old]: no such"
    assert line in done.stdout, "even where the comparison fails"
    assert done.stdout.count("in the baseline, not in this run") == 1


def test_skipped_test_is_named_with_reason(run_suite, baseline):
    done = run_suite("--benchmark-compare", machine={"usable": False})
    assert done.stdout.count("in the baseline, not in this run") == 6
    assert re.search(r"vs-fp32\]: skipped: .*no-silicon: No AMX", done.stdout)


def test_other_machine_finds_no_baseline(run_suite, baseline):
    done = run_suite("--benchmark-compare", machine={"kernel": "other"})
    assert done.returncode == 4
    assert "there is no baseline of this machine in" in done.stdout
    assert "--benchmark-save" in done.stdout


def test_other_machines_file_needs_permission(run_suite, baseline):
    named, other = f"--benchmark-compare={baseline}", {"kernel": "other"}
    difference = "another machine (kernel was 'fake', is 'other')"
    refused = run_suite(named, machine=other)
    assert refused.returncode == 4
    assert difference in refused.stdout
    assert "--amx-across machine" in refused.stdout
    across = ("--amx-across", "machine", "--amx-across", "seed", "--amx-seed", "7")
    done = run_suite(named, *across, machine=other)
    assert done.returncode == 0, done.stdout
    assert f"compared all the same with {difference}" in done.stdout
    assert done.stdout.count("compared all the same with another seed") == 1


def test_path_taken_for_baseline_is_explained(run_suite, tmp_path):
    done = run_suite("--benchmark-compare", tmp_path)
    assert done.returncode == 4
    assert "--benchmark-compare took" in done.stdout
    assert "--benchmark-compare=NUMBER" in done.stdout


def test_unreadable_baseline_is_refused(run_suite, baseline):
    baseline.write_text('{"benchmarks": [{')
    done = run_suite("--benchmark-compare")
    assert done.returncode == 4
    assert "0001_night.json is not a readable pytest-benchmark file" in done.stdout


@pytest.mark.parametrize(
    ("edit", "place"),
    [
        (lambda content: content["benchmarks"][0].pop("fullname"), r"fullname.*benchmarks\[0\]"),
        (lambda content: content["benchmarks"][0]["stats"].pop("min"), r"min.*benchmarks\[0\]"),
        (lambda content: content.update(machine_info=[]), "machine_info"),
    ],
    ids=["name", "figure", "machine"],
)
def test_damaged_baseline_is_refused(run_suite, baseline, edit, place):
    change(baseline, edit)
    done = run_suite("--benchmark-compare")
    assert done.returncode == 4
    assert re.search(f"the baseline to compare with is damaged: .*{place}", done.stdout)
    assert "INTERNALERROR" not in done.stdout


def test_other_seed_needs_permission(run_suite, baseline):
    done = run_suite("--benchmark-compare", "--amx-seed", "7")
    assert done.returncode == 1
    assert "the baseline is of another seed (seed was '0', is '7')" in done.stdout
    assert "--amx-across seed" in done.stdout


def test_other_case_of_same_name_is_refused(run_suite, baseline):
    def rename_cases(content):
        for row in content["benchmarks"]:
            row["extra_info"]["case"] = "something else"

    change(baseline, rename_cases)
    done = run_suite("--benchmark-compare", "--amx-across", "seed")
    assert done.returncode == 1
    assert re.search(r"measured something else, this run measures gemm-\S+-s0", done.stdout)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda info: info.pop("amx_suite"), "was not written by amx-suite"),
        (lambda info: info.update(amx_suite="text"), "was not written by amx-suite"),
        (lambda info: info["amx_suite"].update(schema_version=0), "schema version 0"),
        (lambda info: info["amx_suite"]["versions"].update(torch="1.0"), "torch was '1.0'"),
        (lambda info: info["amx_suite"].pop("versions"), "is damaged: .*`versions`"),
        (lambda info: info["amx_suite"].update(fingerprint=[]), "is damaged: .*fingerprint"),
        (lambda info: info["amx_suite"]["fingerprint"].pop("kernel"), "kernel was 'None'"),
        (lambda info: info["amx_suite"]["fingerprint"].update(new="x"), "new was 'x', is 'None'"),
    ],
    ids=[
        "foreign",
        "garbage",
        "stale",
        "torch",
        "no versions",
        "list",
        "a trait less",
        "a trait more",
    ],
)
def test_difference_is_named_with_remedy(change, complaint):
    theirs = copy.deepcopy(OURS)
    change(theirs)
    with pytest.raises(ResultsFileError, match=complaint) as caught:
        check_machine(OURS, theirs, ["shape"])
    assert "--benchmark-save" in str(caught.value)


def test_other_schema_version_is_never_allowed():
    theirs = copy.deepcopy(OURS)
    theirs["amx_suite"]["schema_version"] = 0
    with pytest.raises(ResultsFileError, match="schema version 0"):
        check_machine(OURS, theirs, ["machine", "software"])


@pytest.mark.parametrize("storage", ["file://./.benchmarks", "/data/runs/", ".benchmarks"])
def test_each_machine_has_its_folder(storage):
    here = {"cores": "2"}
    assert storage_of_machine(storage, here) == f"{storage.rstrip('/')}/{machine_id(here)}"


def test_storage_that_is_no_folder_stays():
    address = "elasticsearch+http://host:9200/index/type"
    assert storage_of_machine(address, {"cores": "2"}) == address
