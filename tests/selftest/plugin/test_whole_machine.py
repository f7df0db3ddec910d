"""Level 4's tests of the whole machine in whole runs: outcomes, rows, results and tables."""

import functools
import json
from pathlib import Path

import msgspec
import pytest
from fake_trial import SHAPE
from run_cases import case_of

from amx_suite.core.isa import Isa
from amx_suite.core.run import RunSummary
from amx_suite.core.whole_machine import Latency, Throughput
from amx_suite.errors import CeilingIgnoredError
from amx_suite.plugin.outcome import errors_end_test

pytestmark = pytest.mark.selftest

TESTS = Path(__file__).resolve().parents[3] / "tests" / "performance" / "test_whole_machine.py"
LEVEL = ("--amx-level", "4", "--amx-budget", "20")


@pytest.fixture(scope="module")
def good(run_suite_in, tmp_path_factory):
    """A run on a good machine, and its folder."""
    folder = tmp_path_factory.mktemp("good")
    files = ("--benchmark-json", "out.json", "--benchmark-save", "first", "--amx-output", ".")
    return run_suite_in(folder, "-v", *LEVEL, *files, tests=TESTS), folder


@pytest.fixture
def run(run_suite):
    return functools.partial(run_suite, "-rs", *LEVEL, tests=TESTS)


def test_every_case_passes(good):
    done, _ = good
    assert done.returncode == 0, done.stdout
    assert "24 passed" in done.stdout
    assert "test_throughput_of_nodes[resnet50-inference-bf16-amx-ipex]" in done.stdout
    assert "test_latency[bert-inference-int8-avx512_vnni-ipex]" in done.stdout


def test_row_holds_seconds_per_item(good):
    rows = {
        row["name"]: row for row in json.loads((good[1] / "out.json").read_text())["benchmarks"]
    }
    row = rows["test_throughput_of_small_instances[resnet50-inference-bf16-amx-ipex]"]
    # Two instances of one core; a step of 16 items takes 0.15 s.
    assert row["stats"]["rounds"] == 10
    assert row["stats"]["median"] == pytest.approx(0.15 / 32)
    assert row["extra_info"]["cores"] == "2 x 1"
    latency = rows["test_latency[resnet50-inference-bf16-amx-ipex]"]
    assert latency["stats"]["rounds"] == 1000
    assert latency["extra_info"]["shape"] == "b1x224"


def test_results_hold_each_measurement(good):
    written = json.loads((good[1] / "out.json").read_text())["amx_suite"]
    summary = msgspec.convert(written, RunSummary)
    kinds = [type(each) for each in summary.whole_machine]
    assert (kinds.count(Throughput), kinds.count(Latency)) == (16, 8)
    del written["whole_machine"]
    assert msgspec.convert(written, RunSummary).whole_machine == (), "older files read"


def test_terminal_and_summary_show_the_tables(good):
    done, folder = good
    page = (folder / "summary.md").read_text()
    for text in (
        done.stdout.split("AMX whole machine", 1)[1],
        page.split("## Whole machine", 1)[1],
    ):
        assert "Throughput of all instances at once" in text
        assert "Latency of one item at a time" in text
        assert "213.3 images/s" in text
        assert "8.40x" in text, "over the same precision without AMX"


def test_row_can_be_compared(good, run_suite_in):
    done = run_suite_in(good[1], *LEVEL, "--benchmark-compare", tests=TESTS)
    assert done.returncode == 0, done.stdout
    assert "24 passed" in done.stdout
    fewer = run_suite_in(good[1], *LEVEL, "--amx-cores", "1", "--benchmark-compare", tests=TESTS)
    assert "cores was '1 x 2', is '1 x 1'" in fewer.stdout
    assert "8 failed, 16 passed" in fewer.stdout, "latency alone depends on --amx-cores"


def test_machine_without_amx_runs_the_rest(run):
    done = run(machine={"usable": False})
    assert done.returncode == 0, done.stdout
    assert "12 passed, 12 skipped" in done.stdout
    assert "no-silicon: No AMX on the fake machine. Buy another." in done.stdout
    assert "resnet50-inference-int8-avx512_vnni-ipex b64x224" in done.stdout


def test_required_amx_fails_every_case(run):
    done = run("--amx-require", machine={"usable": False})
    assert done.returncode == 1
    assert "AMX is required: no-silicon" in done.stdout
    assert "passed" not in done.stdout.splitlines()[-1]


def test_unproven_case_fails(run):
    done = run("-k", "bert", machine={"amx_share": {"int8@amx": 0.0}})
    assert done.returncode == 1
    assert "3 failed, 9 passed" in done.stdout
    assert "NO_EVIDENCE" in done.stdout


def test_lost_worker_fails_and_absent_case_is_skipped(run):
    faults, refused = {"bf16@amx stamps": "died"}, {"int8@amx": "no INT8 in this version"}
    done = run("-k", "latency", machine={"faults": faults, "refused": refused})
    assert done.returncode == 1
    assert "2 failed, 4 passed, 2 skipped" in done.stdout
    assert "killed by SIGKILL" in done.stdout
    assert "NOT_APPLICABLE: no INT8 in this version" in done.stdout


def test_disabled_benchmarks_measure_nothing(run):
    done = run("--benchmark-disable")
    assert "24 skipped" in done.stdout
    assert "preparing" not in done.stdout


def test_lower_levels_leave_it_out(run_suite):
    done = run_suite("--amx-level", "3", "--collect-only", "-q", tests=TESTS)
    assert "3 deselected" in done.stdout


def test_instance_beyond_its_ceiling_has_no_evidence():
    case = case_of("resnet50", shape=(SHAPE.batch, SHAPE.size), isa=Isa.AVX512_BF16)
    with (
        pytest.raises(pytest.fail.Exception, match=r"NO_EVIDENCE: .* ignores its ceiling"),
        errors_end_test([case], strict=False),
    ):
        raise CeilingIgnoredError(f"{case.id} on 4 cores, CPUs 4, 5, 6, 7", "SIGILL")
