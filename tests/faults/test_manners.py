"""The plugin in another project's runs is unseen: same outcome, output, JSON and folders."""

import json
import re
import shutil

import pytest
from foreign_project import CONFTEST, FOREIGN, write_project
from pytest_benchmark import plugin as pytest_benchmark
from whole_runs import run_pytest_in

from amx_suite.plugin import reference, run

pytestmark = pytest.mark.selftest

TIMED = "def test_timed(benchmark): benchmark(int)\n"


@pytest.fixture
def project(tmp_path):
    return write_project(tmp_path / "project")


@pytest.fixture(autouse=True)
def _quick_cpu_info(monkeypatch):
    """pytest-benchmark takes a second to find the CPU's name."""
    monkeypatch.setattr(pytest_benchmark, "get_cpu_info", dict)


#: Without the plugin.
ALONE = ("-p", "no:amx_suite.plugin")
#: All of them wrong.
VARIABLES = {
    "AMX_SUITE_LEVEL": "nonsense",
    "AMX_SUITE_ENGINE": "none",
    "AMX_SUITE_GATES": "/nowhere",
    "AMX_SUITE_REFERENCE": "/nowhere",
}
#: Benchmarks of a moment, whose table has nothing but times.
QUICK = ("-k", "timed", "--benchmark-max-time=0.001", "--benchmark-quiet")


def same(text):
    """The text without times, and without the line that names the plugins."""
    text = re.sub(r"\d+\.\d+s|\d{8}_\d{6}", "TIME", text)
    return re.sub(r"^plugins: .*", "", text, flags=re.MULTILINE)


def shape(value):
    """A JSON value without its numbers, dates and pairs of counts."""
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value][:1]
    varies = isinstance(value, int | float) or re.match(r"\d{4}-\d\d-\d\dT|\d+;", str(value))
    return type(value).__name__ if varies else value


class TestForeignRun:
    @pytest.fixture
    def compare(self, project, monkeypatch):
        """Checks that a run is the same without the plugin; returns what it prints, and a JSON.

        The code of the JSON is that of ``--benchmark-json`` or of the last file that was saved.
        """

        def forbidden(*_):
            raise AssertionError("the host was detected, or its quiet reference read")

        def found(*arguments):
            own = project.parent / f"copy {len(list(project.parent.iterdir()))}" / "project"
            shutil.copytree(project, own)
            done = run_pytest_in(own, *arguments, **VARIABLES)
            files = sorted(own.rglob("*"))
            names = {same(str(path.relative_to(own))) for path in files}
            written = [path for path in files if path.suffix == ".json"]
            results = shape(json.loads(written[-1].read_text())) if written else None
            names -= {name for name in names if "__pycache__" in name}
            return done.returncode, same(done.stdout).replace(str(own), ""), names, results

        def compare(*arguments):
            with_us, alone = found(*arguments), found(*arguments, *ALONE)
            assert with_us == alone
            return with_us[1], with_us[3]

        monkeypatch.setattr(run, "detect", forbidden)
        monkeypatch.setattr(reference, "load_calibration", forbidden)
        monkeypatch.setattr(reference, "stored_calibration", forbidden)
        return compare

    @pytest.mark.parametrize(
        "arguments",
        [
            ("-v",),
            ("-v", "-p", "no:benchmark"),
            ("-p", "no:terminal"),
            ("-p", "no:junitxml", "-p", "no:logging"),
            ("--level", "fast", "--output", "out"),
            ("--collect-only", "-q"),
            ("-n", "1"),
        ],
        ids=" ".join,
    )
    def test_is_the_same(self, compare, arguments):
        shown, _ = compare(*arguments)
        assert "AMX" not in shown
        assert "no:terminal" in arguments or "test" in shown

    def test_markers_are_not_declared(self, compare):
        assert "'performance' not found in `markers`" in compare("--strict-markers")[0]
        assert "PytestUnknownMarkWarning: Unknown pytest.mark.trials" in compare()[0]

    def test_own_options_mean_theirs(self, compare):
        assert "2 failed, 1 passed" in compare("--level", "slow")[0]

    @pytest.mark.parametrize(
        "save", ["--benchmark-json=out.json", "--benchmark-save=night", "--benchmark-autosave"]
    )
    def test_saves_the_same(self, compare, project, save):
        (project / "test_timed.py").write_text(TIMED)
        _, results = compare(save, *QUICK)
        assert results["benchmarks"][0]["name"] == "test_timed"
        assert "node" in results["machine_info"], "pytest-benchmark's own"
        assert "amx_suite" not in json.dumps(results)

    def test_compares_the_same(self, compare, project):
        """Also with a baseline that is not there, which the suite refuses in its own runs."""
        (project / "test_timed.py").write_text(TIMED)
        run_pytest_in(project, "--benchmark-save=night", *QUICK)
        for baseline in ("0001", "0042"):
            shown, _ = compare(f"--benchmark-compare={baseline}", *QUICK)
            assert "1 passed" in shown

    def test_is_the_same_in_real_processes(self, pytester, project):
        def found(*arguments):
            done = pytester.runpytest_subprocess("-v", "-Werror", *arguments)
            return done.ret, same(done.stdout.str()), done.stderr.str()

        pytester.makeconftest(CONFTEST)
        pytester.makepyfile(FOREIGN)
        with_us = found()
        assert with_us == found(*ALONE)
        assert "amx" not in re.sub(r"amx_trial|amx_engine", "", with_us[1])
