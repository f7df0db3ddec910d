"""A child in another Python: what comes along, what must not, and what is refused."""

import ast
import os
import re
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
from fake_handlers import Do, Told
from other_python import TORCH, make_python
from processes import gone

import amx_suite
from amx_suite.child import interpreter
from amx_suite.child.interpreter import PACKAGES, Interpreter
from amx_suite.engines import ENGINES
from amx_suite.errors import UsageError
from amx_suite.workloads import WORKLOADS

pytestmark = pytest.mark.selftest


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return make_python(tmp_path_factory.mktemp("other") / "venv")


@pytest.fixture(scope="module")
def python(path):
    return Interpreter.inspect(str(path))


def lines_of(child, command):
    return child.ask(Do(command), Told).text.splitlines()


def test_an_interpreter_says_what_it_has(path, python):
    assert python.path == str(path), "the links of a virtual environment stay"
    assert python.version == ".".join(map(str, sys.version_info[:3]))
    assert python.packages.keys() == {"numpy", "msgspec", "torch"}
    assert python.packages["torch"] == TORCH


def test_a_folder_or_relative_path_will_do(path, python, monkeypatch):
    monkeypatch.chdir(path.parents[2])
    assert Interpreter.inspect(str(path.parents[1])) == python
    assert Interpreter.inspect("venv/bin/python") == python


def test_every_engines_packages_are_asked_for():
    named = {
        name for each in (*ENGINES.values(), *WORKLOADS.values()) for name in each.distributions
    }
    assert named <= set(PACKAGES)


def test_an_old_python_understands_the_question():
    ast.parse(interpreter._QUESTION, feature_version=(3, 5))


def test_chatter_at_its_start_does_no_harm(tmp_path):
    path = make_python(tmp_path / "venv")
    (site,) = tmp_path.glob("venv/lib/python*/site-packages")
    (site / "sitecustomize.py").write_text("print('welcome', end='')")
    assert Interpreter.inspect(str(path)).packages["torch"] == TORCH


def test_packages_come_from_the_other_python(path, python, start):
    child = start(python=python)
    files = dict(line.split("=", 1) for line in lines_of(child, "modules"))
    own = files.pop("amx_suite")
    assert Path(own).resolve() == Path(amx_suite.__file__).resolve()
    assert all(Path(file).is_relative_to(path.parents[1]) for file in files.values()), files
    _, back = child.exchange(Do("echo"), Told, {"a": np.ones(2)})
    assert list(back["a"]) == [1.0, 1.0]


def test_its_module_path_stays_behind_ours(python, start):
    child = start(python=python)
    first, *rest = lines_of(child, "path")
    assert [each.name for each in Path(first).iterdir()] == ["amx_suite"]
    # No folder of this Python's, but for the standard library that both share.
    here = {entry for entry in sys.path if "site-packages" in entry}
    assert not here & set(rest)
    assert not {"", str(Path.cwd()), str(Path(amx_suite.__file__).parents[1])} & set(rest)


def test_variables_of_this_python_stay_here(path, python, start, monkeypatch, tmp_path):
    (tmp_path / "numpy.py").write_text("raise SystemExit('this is not yours')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.setenv("PYTHONHOME", "/nowhere")
    assert Interpreter.inspect(str(path)) == python
    names = {line.partition("=")[0] for line in lines_of(start(python=python), "environment")}
    assert not {"PYTHONPATH", "PYTHONHOME"} & names


def test_modules_in_the_working_folder_are_ignored(path, python, start, monkeypatch, tmp_path):
    for name in ("json", "numpy", "msgspec", "amx_suite", "socket"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from the folder')")
    monkeypatch.chdir(tmp_path)
    assert Interpreter.inspect(str(path)) == python
    start(python=python).exchange(Do("echo"), Told, {"a": np.ones(2)})


@pytest.mark.parametrize("kill", [False, True], ids=["closed", "keeper killed"])
def test_its_folder_goes_and_the_package_stays(python, start, kill):
    child = start(python=python)
    (folder,) = lines_of(child, "folder")
    if kill:
        os.kill(child._process.pid, signal.SIGKILL)
    child.close()
    assert not Path(folder).exists()
    assert Path(amx_suite.__file__).exists()


def script(folder, text):
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def test_a_wrapper_may_set_its_own_path(path, python, start, tmp_path):
    """As module systems and launchers do; the suite's code comes along all the same."""
    wrapper = script(tmp_path, f'export PYTHONPATH={tmp_path}/site\nexec {path} "$@"')
    found = Interpreter.inspect(str(wrapper))
    assert (found.path, found.packages) == (str(wrapper), python.packages)
    assert f"{tmp_path}/site" in lines_of(start(python=found), "path")


OLD = """echo '{"version": [3, 9, 2], "packages": {}}'"""
#: What is asked for: a shell script's text, and what the error says.
REFUSED = {
    "old": (OLD, "is Python 3.9.2, and arms need 3.11 or later: name a newer one"),
    "ancient": (OLD.replace("3, 9", "2, 7"), "is Python 2.7.2"),
    "silent": ("", r"does not answer as a Python does \(exit code 0\): name a Python"),
    "broken": ("echo no such library >&2; exit 127", r"\(exit code 127: no such library\)"),
    "no version": ("echo '{}'", "does not answer as a Python does"),
    "no text": (r"printf '\377\376'", "does not answer as a Python does"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_usable_python_is_refused(tmp_path, name):
    text, says = REFUSED[name]
    path = script(tmp_path, text)
    with pytest.raises(UsageError, match=f"^'{re.escape(str(path))}' .*{says}") as refused:
        Interpreter.inspect(str(path))
    assert "\n" not in str(refused.value)


def test_what_cannot_be_started_is_refused(tmp_path):
    for path, says in (
        (tmp_path / "absent", "does not exist"),
        (tmp_path, "bin/python' does not exist"),
        (Path(__file__), "is no program that this user may execute"),
    ):
        with pytest.raises(UsageError, match=f"{says}: name a Python interpreter"):
            Interpreter.inspect(str(path))
    no_program = tmp_path / "program"
    no_program.write_bytes(b"\0")
    no_program.chmod(0o755)
    with pytest.raises(UsageError, match="cannot be started"):
        Interpreter.inspect(str(no_program))


def test_one_that_hangs_is_killed(tmp_path, monkeypatch):
    monkeypatch.setattr(interpreter, "_SECONDS_TO_ANSWER", 1.0)
    path = script(tmp_path, f"sleep 60 &\necho $! >{tmp_path}/pid\nwait")
    with pytest.raises(UsageError, match=r"did not answer within 1 s"):
        Interpreter.inspect(str(path))
    pid = int((tmp_path / "pid").read_text())
    assert gone(pid), "what it started ends, too"


@pytest.mark.parametrize(
    ("packages", "missing"),
    [(("numpy",), "torch msgspec"), (("msgspec", "torch"), "numpy"), ((), "torch msgspec numpy")],
)
def test_missing_packages_are_named(tmp_path, packages, missing):
    path = make_python(tmp_path / "venv", packages=packages)
    says = f"no {missing.replace(' ', ', ')}, which .*: {path} -m pip install {missing}$"
    with pytest.raises(UsageError, match=says):
        Interpreter.inspect(str(path))
