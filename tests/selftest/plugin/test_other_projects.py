"""The plugin in another project's runs: unseen, unless its tests use our fixtures."""

import functools
import json
import re

import pytest
from pytest_benchmark import plugin as pytest_benchmark

from amx_suite.plugin import run

pytestmark = pytest.mark.selftest

#: Markers as ours, with another meaning.
FOREIGN = """
import pytest

@pytest.mark.performance
@pytest.mark.level("fast")
def test_theirs(): pass

@pytest.mark.correctness
def test_broken(): assert False, "rows [3]"
"""
TIMED = "def test_timed(benchmark): benchmark(int)\n"
OURS = "def test_ours(amx_trial, amx_arm, amx_row): amx_row.fill(amx_trial.seconds(amx_arm), 'x')\n"


@pytest.fixture
def project(tmp_path):
    """The folder of a project with its own pytest.ini."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "pytest.ini").write_text("[pytest]\npythonpath =\n")
    (folder / "test_foreign.py").write_text(FOREIGN)
    return folder


@pytest.fixture(autouse=True)
def _quick_cpu_info(monkeypatch):
    """pytest-benchmark takes a second to find the CPU's name."""
    monkeypatch.setattr(pytest_benchmark, "get_cpu_info", dict)


class TestForeignRun:
    @pytest.fixture
    def compare(self, run_pytest_in, project, monkeypatch):
        """Checks that a run prints the same without the plugin; returns what it prints."""

        def detect():
            raise AssertionError("the host was detected")

        def shown(*arguments):
            done = run_pytest_in(project, *arguments, AMX_SUITE_LEVEL="nonsense")
            text = re.sub(r"in \d+\.\d+s|^plugins: .*", "", done.stdout, flags=re.MULTILINE)
            return done.returncode, text

        def compare(*arguments):
            found = shown(*arguments)
            assert found == shown(*arguments, "-p", "no:amx_suite.plugin")
            return found[1]

        monkeypatch.setattr(run, "detect", detect)
        return compare

    def test_prints_the_same(self, compare):
        shown = compare("-v")
        assert "1 failed, 1 passed" in shown
        assert "AMX" not in shown

    def test_prints_the_same_without_benchmarks(self, compare):
        assert "1 failed, 1 passed" in compare("-v", "-p", "no:benchmark")

    def test_saves_as_without_us(self, compare, project):
        (project / "test_timed.py").write_text(TIMED)
        quick = ("--benchmark-max-time", "0.001", "--benchmark-quiet", "-q", "-q")
        compare("--benchmark-save", "night", "-k", "timed", *quick)
        first, second = sorted(project.glob(".benchmarks/*/*_night.json"))
        assert first.parent == second.parent
        for path in (first, second):
            assert "amx_suite" not in path.read_text()


class TestOurFixtures:
    @pytest.fixture
    def run_theirs(self, run_suite_in, project):
        (project / "test_ours.py").write_text(OURS)
        return functools.partial(run_suite_in, project, tests=project, root=project)

    def test_skip_with_reason_without_amx(self, run_theirs):
        done = run_theirs("-rs", machine={"usable": False})
        assert "no-silicon: No AMX on the fake machine. Buy another." in done.stdout
        assert "1 failed, 4 passed, 2 skipped" in done.stdout

    def test_rows_are_of_this_machine(self, run_theirs, project):
        done = run_theirs("--benchmark-save", "night", "-k", "ours")
        assert done.returncode == 0, done.stdout
        (saved,) = project.glob(".benchmarks/*/*/0001_night.json")
        assert json.loads(saved.read_text())["amx_suite"]["trials"]
        compare = ("-k", "ours", f"--benchmark-compare={saved}")
        assert run_theirs(*compare).returncode == 0
        done = run_theirs(*compare, machine={"kernel": "other"})
        assert done.returncode != 0
        assert "another machine (kernel was 'fake', is 'other')" in done.stdout

    def test_timed_test_names_missing_plugin(self, run_suite):
        done = run_suite("-p", "no:benchmark")
        assert done.returncode == 1
        assert "9 errors in" in done.stdout
        assert "timed tests need pytest-benchmark" in done.stdout
