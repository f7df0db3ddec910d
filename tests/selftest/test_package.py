"""The built package carries the conformance tests, as in a checkout, and the report's template."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from amx_suite.cli.qualify import CONFORMANCE_FOLDERS

pytestmark = pytest.mark.selftest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """What a wheel of this checkout holds."""
    source = tmp_path_factory.mktemp("source")
    skipped = shutil.ignore_patterns("__pycache__", "selftest")
    for name in ("amx_suite", "tests"):
        shutil.copytree(ROOT / name, source / name, ignore=skipped)
    for name in ("pyproject.toml", "setup.py", "README.md", "pytest.ini", "conftest.py"):
        shutil.copy(ROOT / name, source)
    subprocess.run(
        [sys.executable, "setup.py", "--quiet", "build", "--build-lib", "out"],
        cwd=source,
        check=True,
        capture_output=True,
    )
    return source / "out" / "amx_suite" / "conformance"


def test_build_carries_each_conformance_test(built):
    wanted = {
        path.relative_to(ROOT)
        for name in CONFORMANCE_FOLDERS
        for path in (ROOT / "tests" / name).glob("*.py")
    }
    found = {path.relative_to(built) for path in built.rglob("test_*.py")}
    assert found == wanted
    assert (built / "pytest.ini").read_bytes() == (ROOT / "pytest.ini").read_bytes()
    assert (built / "conftest.py").is_file()


def test_no_selftest_is_carried(built):
    assert not list(built.rglob("selftest"))


def test_template_of_the_report_is_carried(built):
    for name in ("report.html.j2", "report.css"):
        carried = built.parent / "report" / name
        assert carried.read_bytes() == (ROOT / "amx_suite/report" / name).read_bytes()


def test_what_other_programs_run_is_carried(built):
    assert (built.parent / "fleet" / "reframe_test.py").is_file()
    assert os.access(built.parent / "fleet" / "health-check.sh", os.X_OK)
