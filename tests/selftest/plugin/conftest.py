"""Whole pytest runs in forks of this process, most of them on a fake machine."""

import functools
import json
import os
import shutil

import pytest
from whole_runs import ROOT, run_pytest_in
from whole_runs import start as start_in

from amx_suite import cli
from amx_suite.cli import qualify


@pytest.fixture
def run_suite(run_suite_in, tmp_path):
    """Run pytest in the test's folder; returns its ``returncode`` and ``stdout``."""
    return functools.partial(run_suite_in, tmp_path)


@pytest.fixture(scope="session")
def run_suite_in():
    """As ``run_suite``, but its first argument is the folder."""

    def run(
        folder,
        *arguments,
        machine=None,
        tests=ROOT / "tests" / "performance",
        root=ROOT,
        **environ,
    ):
        return run_pytest_in(
            folder,
            *("-p", "fake_machine", "--noconftest"),
            *(f"--rootdir={root}", f"--config-file={root / 'pytest.ini'}"),
            # pytest lists every folder above the tests, so also that of all temporary files.
            f"--confcutdir={tests.parent}",
            # First, because --benchmark-compare would take it for its value.
            tests,
            *arguments,
            FAKE_MACHINE=json.dumps(machine or {}),
            **environ,
        )

    return run


@pytest.fixture(scope="session")
def level_3(run_suite_in, tmp_path_factory):
    """A run of level 3 on a good machine, and its folder."""
    folder = tmp_path_factory.mktemp("level_3")
    return run_suite_in(folder, "-v", "--amx-level", "3", "--benchmark-json", "out.json"), folder


@pytest.fixture(scope="session")
def qualify_in():
    """Start ``amx-suite qualify`` in a folder on the fake machine; returns the ``Forked``.

    The folder has the conformance tests that the fake machine passes, and ``detection`` besides.
    ``publish`` stands in for the writing of the result files. What is printed goes to the
    descriptor ``terminal``, if given.
    """

    def start(folder, *arguments, detection="", machine=None, publish=None, terminal=None):
        own = folder / "checkout" / "tests"
        own.mkdir(parents=True)
        shutil.copy(ROOT / "pytest.ini", own.parent)
        for name in ("dispatch", "performance"):
            shutil.copytree(ROOT / "tests" / name, own / name)
        (own / "detection").mkdir()
        (own / "detection" / "test_it.py").write_text("import pytest\n" + detection)

        def work():
            import fake_machine  # noqa: F401 - it puts the fake machine under the suite

            qualify._tests_root = lambda: own.parent
            qualify._publish = publish or qualify._publish
            if terminal is not None:
                os.dup2(terminal, 1)
            return cli.main(["qualify", *arguments])

        environ = {"FAKE_MACHINE": json.dumps(machine or {}), "TERM": "xterm"}
        return start_in(folder, work, environ)

    return start
