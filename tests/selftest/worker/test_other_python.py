"""An arm in another Python: what its child imports, and what its engine may use."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest
from other_python import TORCH, make_python
from run_cases import case_of

from amx_suite.child.environment import child_variables, link_package
from amx_suite.child.interpreter import Interpreter
from amx_suite.core.isa import Isa
from amx_suite.core.packages import installed, installed_in
from amx_suite.core.precision import Precision
from amx_suite.engines import ENGINES
from amx_suite.errors import EngineUnavailableError, NotApplicableError
from amx_suite.worker.process import IsaWorker
from amx_suite.workloads.base import Inputs

pytestmark = pytest.mark.selftest

#: What an arm's Python must have, and what torch's model libraries bring along.
AN_ARMS = {"torch", "torchvision", "transformers", "msgspec", "numpy"}
BROUGHT = {"huggingface_hub", "safetensors"}
ALLOWED = {"amx_suite", *AN_ARMS, *BROUGHT, *sys.stdlib_module_names}


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    return Interpreter.inspect(str(make_python(tmp_path_factory.mktemp("other") / "venv")))


@pytest.fixture
def start(python):
    started = []

    def worker(engine, isa=Isa.NO_AMX):
        cpus = tuple(sorted(os.sched_getaffinity(0)))[:1]
        started.append(IsaWorker(isa, engine, cpus=cpus, python=python))
        return started[-1]

    yield worker
    for each in started:
        each.close()


def strangers(source):
    """Packages that a module imports, at its start or later, and that an arm's Python may lack."""
    tree = ast.parse(source)
    for_types = {
        part
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        for statement in node.body
        for part in ast.walk(statement)
    }
    names = set()
    for node in set(ast.walk(tree)) - for_types:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
    return {name.partition(".")[0] for name in names} - ALLOWED


def test_an_arms_child_imports_no_stranger(python, tmp_path):
    """Neither at its start, for that Python has nothing else, nor later."""
    link_package(tmp_path / "package")
    variables = child_variables(os.environ, tmp_path, other_python=True)
    question = (
        "import sys, amx_suite.worker.handler; print(*[module.__file__ for name, module in "
        "sys.modules.items() if name.partition('.')[0] == 'amx_suite'], sep='\\n')"
    )
    told = subprocess.run(
        [python.path, "-c", question],
        env={**variables, "PYTHONPATH": str(tmp_path / "package")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    files = [Path(line) for line in told.stdout.splitlines()]
    assert len(files) > 40
    found = {file.stem: strangers(file.read_text()) for file in files}
    assert not {name: names for name, names in found.items() if names}


def test_a_stranger_is_found():
    text = (
        "if TYPE_CHECKING:\n    import rich\nimport os\ndef later():\n    from scipy import special"
    )
    assert strangers(text) == {"scipy"}


def test_the_other_pythons_engines_count(start):
    """This Python may well have the extension, and another PyTorch."""
    with pytest.raises(EngineUnavailableError, match="Extension for PyTorch is not installed"):
        start("ipex").prepare(case_of("gemm", engine="ipex", isa=Isa.NO_AMX), Inputs())
    int8 = case_of("gemm", precision=Precision.INT8, isa=Isa.NO_AMX)
    with pytest.raises(NotApplicableError, match=f"torch {TORCH} runs eager quantized"):
        start("eager").prepare(int8, Inputs())


def test_compiled_code_is_kept_by_its_torch(start, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr("amx_suite.engines.inductor.holds_programs", lambda folder: True)
    folder = start("inductor").environment.chosen["TORCHINDUCTOR_CACHE_DIR"]
    assert f"/torch-{TORCH}/" in folder


def test_engines_can_be_asked_about_another_python():
    ipex, eager, inductor = ENGINES["ipex"], ENGINES["eager"], ENGINES["inductor"]
    case = case_of("gemm", precision=Precision.INT8)
    mode, int8 = case.workload.mode, case.precision
    here = installed("torch")
    with installed_in({"torch": "2.15.0"}):
        assert "is not installed" in ipex.why_unavailable()
        assert "torch 2.15.0" in eager.why_not(mode, int8)
        assert "torchao" in inductor.why_not(mode, int8)
        with installed_in({"torch": "2.8.0", "intel-extension-for-pytorch": "2.8.0"}):
            assert ipex.why_unavailable() is None
            assert eager.why_not(mode, int8) is None
        with installed_in({}):
            assert "PyTorch is not installed" in eager.why_unavailable()
        with installed_in(None):
            assert installed("torch") == here
        assert installed("torch") == "2.15.0"
    assert installed("torch") == here
