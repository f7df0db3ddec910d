"""Children import what their parent imports, and nothing that lies in the working folder."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from fake_handlers import Do, Told

from amx_suite.child.environment import child_variables, module_path

pytestmark = pytest.mark.selftest

ROOT = Path(__file__).resolve().parents[3]
#: Names that the suite or its libraries import early, one that they import late, and packages.
TRAPS = ("random", "numpy", "struct", "socket", "json", "msgspec", "signal", "copy")
PACKAGES = ("torch", "intel_extension_for_pytorch", "transformers")


@pytest.fixture
def hostile(tmp_path):
    """A working folder whose modules end whoever imports them."""
    for name in TRAPS:
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from the working folder')")
    for name in PACKAGES:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise SystemExit('the wrong package')")
    return tmp_path


def test_the_working_folder_is_left_out(hostile, monkeypatch, start):
    monkeypatch.chdir(hostile)
    monkeypatch.setattr(sys, "path", ["", str(hostile), "relative", *sys.path])
    child = start()
    path = child.ask(Do("path"), Told).text.splitlines()
    assert path == list(module_path())
    assert not {"", str(hostile), "relative"} & set(path)
    _, back = child.exchange(Do("echo"), Told, {"a": np.ones(2)})
    assert list(back["a"]) == [1.0, 1.0], "numpy is found where it is installed"


def test_the_users_pythonpath_stays(tmp_path, monkeypatch, start):
    """So modules, Spack and EasyBuild deliver torch; an empty entry means the working folder."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.setenv("PYTHONPATH", f":{folder}:relative:")
    monkeypatch.setattr(sys, "path", [*sys.path, str(folder)])
    child = start()
    assert str(folder) in child.ask(Do("path"), Told).text.splitlines()
    variables = dict(
        line.split("=", 1)
        for line in child.ask(Do("environment"), Told).text.splitlines()
        if "=" in line
    )
    assert variables["PYTHONPATH"] == str(folder)
    assert variables["PYTHONSAFEPATH"] == "1", "for the child's own children"


def test_a_working_folder_in_pythonpath_stays(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert str(tmp_path) not in module_path()
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    assert str(tmp_path) in module_path()


def test_the_suite_itself_is_found_first(monkeypatch):
    """As with ``python -m`` in a clone, where the suite comes from the working folder."""
    monkeypatch.chdir(ROOT)
    rest = [entry for entry in sys.path if entry != str(ROOT)]
    monkeypatch.setattr(sys, "path", ["", *rest])
    assert module_path()[0] == str(ROOT)


def test_an_empty_pythonpath_is_removed():
    assert "PYTHONPATH" not in child_variables({"PYTHONPATH": "", "HOME": "/x"}, Path("/tmp"))


#: Three commands with a machine lock of their own: this test's run may hold the real one.
UNLOCKED = """
import sys
from pathlib import Path
from amx_suite.host import lock
lock.LOCK_PATH = Path(sys.argv[1])
from amx_suite.cli import main
print("codes:", main(["doctor"]), main(["list"]), main(["qualify", "--level", "1"]))
"""


def test_commands_ignore_modules_in_the_folder(hostile, tmp_path):
    done = subprocess.run(
        # In the jail, so that the machine is one without usable AMX wherever this runs. As the
        # installed command does it, the working folder is on no path.
        [
            *(sys.executable, "-P", "-m", "amx_suite.worker.jail"),
            *(sys.executable, "-P", "-c", UNLOCKED, str(tmp_path / "lock")),
        ],
        cwd=hostile,
        env={**os.environ, "XDG_DATA_HOME": str(tmp_path / "data"), "AMX_SUITE_CORES": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    text = done.stdout + done.stderr
    assert "AMX is not usable on this machine" in text
    assert "gemm-inference-fp32" in text
    assert "codes: 3 0 3" in done.stdout, text
    assert "working folder" not in text
    assert "wrong package" not in text
