"""What packages offer through entry points, and what becomes of those that do it wrong.

Each package is made up in a temporary folder: a module, and the metadata that an installation would
have left beside it. The suite runs in a process of its own, which finds it on PYTHONPATH.
"""

import importlib.metadata
import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from amx_suite import extensions
from amx_suite.engines.base import Engine, ask_engine
from amx_suite.engines.ipex import Ipex
from amx_suite.workloads.base import ModelWorkload, ask_workload

pytestmark = pytest.mark.selftest

ROOT = Path(__file__).parents[3]

ENGINE = """
    from amx_suite.core.case import Precision

    class Theirs:
        name = "theirs"
        distributions = ("theirs-engine",)
        compiles = False
        def why_unavailable(self): return None
        def why_not(self, mode, precision):
            return None if precision is Precision.BF16 else "BF16 only"
        def variables(self, isa): return {"THEIR_CEILING": str(isa)}
        def prepare_inference(self, module, example_inputs, precision, calibration): return module
        def prepare_training(self, module, optimizer, precision): raise NotImplementedError
        def gradients(self, prepared): return {}
        def read_back(self): return {}
        def ceilings(self, isa): return {}
"""
#: What a parent process asks of an engine.
QUESTIONS = ("why_unavailable", "why_not", "variables", "ceilings")


def raising(question, what="raise RuntimeError('no driver')"):
    """The engine above with a method that does just that."""
    return f"{ENGINE}        def {question}(self, *asked): {what}\n"


WORKLOAD = """
    from amx_suite.core.case import Shape
    from amx_suite.workloads.gemm import Gemm, Mode

    class Wide(Gemm):
        name = "wide"
        shapes = {(Mode.INFERENCE, 2): Shape(3, 5)}
"""


@pytest.fixture
def offer(tmp_path):
    """Install a package whose module has the source, offering under that group and name."""

    def install(package, source, kind="engine", name="theirs", attribute="Theirs"):
        module = package.replace("-", "_")
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(source))
        metadata = tmp_path / f"{module}-1.0.dist-info"
        metadata.mkdir()
        (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0")
        entry = f"[amx_suite.{kind}s]\n{name} = {module}:{attribute}\n"
        (metadata / "entry_points.txt").write_text(entry)

    return install


@pytest.fixture
def suite(tmp_path):
    """Run ``python -m ...`` where the made-up packages are installed."""

    def run(*argv):
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("AMX_SUITE_", "PYTEST"))}
        return subprocess.run(
            [sys.executable, "-m", *argv],
            env=kept | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


@pytest.fixture
def listing(suite):
    """What ``amx-suite list --json`` says."""

    def read():
        done = suite("amx_suite", "list", "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return read


@pytest.fixture
def refused(tmp_path, monkeypatch):
    """Build a table with one row of its own here; its rows and what it refused."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(extensions, "_refusals", [])
    # Not what is installed beside the suite where this runs.
    monkeypatch.setattr(
        extensions,
        "entry_points",
        lambda group: [
            entry
            for package in importlib.metadata.distributions(path=[str(tmp_path)])
            for entry in package.entry_points.select(group=group)
        ],
    )

    def build(kind="engine"):
        if kind == "engine":
            rows = extensions.extended(kind, {"ipex": Ipex()}, Engine, ask_engine)
        else:
            rows = extensions.extended(kind, {}, ModelWorkload, ask_workload)
        return rows, extensions.refusals()

    from unittest import mock

    with mock.patch.dict(sys.modules):
        sys.modules.pop("torch", None)
        yield build


def collected(suite, *options):
    return suite(
        "pytest", str(ROOT / "tests/performance"), "--collect-only", "-q", "-c",
        str(ROOT / "pytest.ini"), "--rootdir", str(ROOT), "-p", "no:cacheprovider", *options,
    )  # fmt: skip


def test_an_engine_and_a_workload_have_cases_and_are_chosen_by_name(offer, suite, listing):
    offer("theirs-engine", ENGINE)
    offer("wide-workload", WORKLOAD, "workload", "wide", "Wide")
    found = listing()
    theirs = [case["id"] for case in found["cases"] if case["engine"] == "theirs"]
    assert any(case.startswith("resnet50-training-bf16-amx-theirs-b8x224-") for case in theirs)
    assert all("-bf16-" in case for case in theirs)
    wide = [case["id"] for case in found["cases"] if case["id"].startswith("wide-")]
    assert any(case.startswith("wide-inference-int8-amx-ipex-b3x5-") for case in wide)
    assert found["refused"] == []
    chosen = collected(suite, "--amx-engine", "theirs", "--amx-weights", "wide=random")
    assert chosen.returncode == 0, chosen.stdout + chosen.stderr
    assert "test_speed.py::test_arm[wide-inference-bf16-amx-theirs]" in chosen.stdout
    assert "-ipex]" not in chosen.stdout


def test_a_child_has_the_rows_too_and_no_torch_for_it(offer, suite, tmp_path):
    offer("theirs-engine", ENGINE)
    (tmp_path / "parent.py").write_text(
        "import os, subprocess, sys\n"
        "from amx_suite.core.isa import Isa\n"
        "from amx_suite.engines import ENGINES\n"
        "from amx_suite.worker.environment import child_environment\n"
        "own = ENGINES['theirs'].variables(Isa.AVX512)\n"
        "variables = child_environment(Isa.AVX512, 1, os.environ, own).variables\n"
        "subprocess.run([sys.executable, '-m', 'child'], env=variables, check=True)\n"
    )
    (tmp_path / "child.py").write_text(
        "import os, sys\n"
        "from amx_suite.engines import ENGINES\n"
        "print('theirs' in ENGINES, os.environ['THEIR_CEILING'], 'torch' in sys.modules)\n"
    )
    assert suite("parent").stdout.split() == ["True", "avx512", "False"]


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("raise RuntimeError('first\\nsecond')", "RuntimeError: first second"),
        ("import sys; sys.exit(0)", "SystemExit: 0"),
        ("class Other: pass", "AttributeError: module 'broken_engine' has no attribute 'Theirs'"),
        ("class Theirs:\n    def __init__(self, x): pass", "TypeError: "),
        ("class Theirs:\n    name = 'theirs'", "it lacks ceilings, compiles, distributions, "),
        ("import sys; sys.modules['torch'] = sys\ndef Theirs(): pass", "it imports torch"),
        (ENGINE.replace('"theirs"', '"mine"', 1), "it calls itself 'mine'"),
        *((raising(question), "RuntimeError: no driver") for question in QUESTIONS),
        (raising("variables", "raise SystemExit(3)"), "SystemExit: 3"),
        (raising("why_not", "import sys; sys.modules['torch'] = sys"), "it imports torch when ask"),
    ],
)
def test_what_gives_no_row_is_told_with_its_reason(offer, refused, source, why):
    offer("broken-engine", source)
    rows, (found,) = refused()
    assert list(rows) == ["ipex"]
    assert (found.kind, found.name, found.clash) == ("engine", "theirs", False)
    assert (found.entry_point, found.package) == ("theirs = broken_engine:Theirs", "broken-engine")
    assert why in found.reason
    assert found.reason.endswith("; mend or uninstall broken-engine")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("shapes = None", "AttributeError: 'NoneType' object has no attribute 'values'"),
        ("def items_per_step(self, shape): return self.tokens", "AttributeError: 'Wide' object"),
    ],
)
def test_a_workload_whose_data_cannot_be_read_costs_its_own_row(offer, refused, line, why):
    offer("broken-workload", f"{WORKLOAD}        {line}\n", "workload", "wide", "Wide")
    rows, (found,) = refused("workload")
    assert rows == {}
    assert found.package == "broken-workload"
    assert why in found.reason


def test_a_name_that_no_list_or_id_can_hold_is_refused(offer, refused):
    offer("comma-engine", ENGINE, name="the,irs")
    _, (found,) = refused()
    assert "lower-case letters" in found.reason


def test_two_packages_may_not_share_a_name(offer, refused):
    offer("theirs-engine", ENGINE)
    offer("other-engine", ENGINE)
    rows, (found,) = refused()
    assert list(rows) == ["ipex", "theirs"]
    assert found.clash
    assert type(rows["theirs"]).__module__ in found.reason
    assert found.package.replace("-", "_") not in found.reason.split(";")[0]


def test_broken_packages_are_listed_and_break_nothing_else(offer, listing, suite):
    offer("broken-engine", raising("why_unavailable"))
    offer("broken-workload", "1 / 0", "workload", "wide", "Wide")
    found = listing()
    assert [refusal["name"] for refusal in found["refused"]] == ["theirs", "wide"]
    assert {case["engine"] for case in found["cases"]} >= {"ipex", "eager", "inductor"}
    engine = (
        "engine theirs (theirs = broken_engine:Theirs, of package broken-engine) cannot be used: "
        "RuntimeError: no driver; mend or uninstall broken-engine"
    )
    workload = (
        "workload wide (wide = broken_workload:Wide, of package broken-workload) cannot be used: "
        "ZeroDivisionError: "
    )
    text = suite("amx_suite", "list").stdout
    assert f"\n{engine}" in text
    assert f"\n{workload}" in text
    header = collected(suite, "-v").stdout
    assert f"\namx refused: {engine}" in header
    assert f"\namx refused: {workload}" in header
    for named, told in (("--engine=theirs", engine), ("--weights=wide=random", workload)):
        done = suite("amx_suite", "qualify", named)
        assert done.returncode == 2
        assert done.stderr.startswith(f"amx-suite: error: {told}")


class TestClash:
    """Results under a name of two owners could be of either, so nothing runs."""

    @pytest.fixture(autouse=True)
    def shadow(self, offer):
        offer("shadow-engine", ENGINE.replace('"theirs"', '"ipex"'), name="ipex")

    def test_a_built_in_row_is_not_shadowed_and_both_owners_are_named(self, suite):
        done = suite("amx_suite", "list")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == (
            "amx-suite: error: engine ipex (ipex = shadow_engine:Theirs, of package shadow-engine) "
            "cannot be used: the name is taken by amx_suite.engines.ipex:Ipex; rename it, or "
            "uninstall shadow-engine\n"
        )

    def test_pytest_says_so_without_a_traceback(self, suite):
        done = collected(suite)
        assert done.returncode == pytest.ExitCode.USAGE_ERROR
        assert "the name is taken by amx_suite.engines.ipex:Ipex" in done.stderr
        assert "Traceback" not in done.stderr

    def test_the_doctor_does_not_care(self, suite):
        done = suite("amx_suite", "doctor", "--json")
        assert "usable" in json.loads(done.stdout)
