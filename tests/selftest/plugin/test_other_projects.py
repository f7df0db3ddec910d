"""Tests of another project that use our fixtures."""

import functools
import json

import pytest
from foreign_project import write_project

pytestmark = pytest.mark.selftest

OURS = "def test_ours(amx_trial, amx_arm, amx_row): amx_row.fill(amx_trial.seconds(amx_arm), 'x')\n"


@pytest.fixture
def project(tmp_path):
    return write_project(tmp_path / "project")


class TestOurFixtures:
    @pytest.fixture
    def run_theirs(self, run_suite_in, project):
        (project / "test_ours.py").write_text(OURS)
        return functools.partial(run_suite_in, project, tests=project, root=project)

    def test_skip_with_reason_without_amx(self, run_theirs):
        done = run_theirs("-rs", machine={"usable": False})
        assert "no-silicon: No AMX on the fake machine. Buy another." in done.stdout
        assert "1 failed, 5 passed, 4 skipped" in done.stdout

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
        assert "11 errors in" in done.stdout
        assert "timed tests need pytest-benchmark" in done.stdout
