"""A project that is not ours, with fixtures, markers and options of our names."""

#: Markers, fixtures and options as ours, with another meaning.
FOREIGN = """
import pytest

@pytest.fixture
def level(request): return request.config.getoption("level", "fast")

@pytest.fixture
def amx_trial(): return "a trial"

@pytest.fixture(params=["steam"])
def amx_engine(request): return request.param

@pytest.mark.performance
@pytest.mark.level("fast")
def test_theirs(level): assert level == "fast"

@pytest.mark.correctness
def test_broken(): assert False, "rows [3]"

@pytest.mark.trials
def test_names(amx_trial, amx_engine): assert (amx_trial, amx_engine) == ("a trial", "steam")
"""
CONFTEST = """
def pytest_addoption(parser):
    parser.addoption("--level", default="fast")
    parser.addoption("--output")
"""


def write_project(folder):
    """Make the folder of a project with its own pytest.ini; returns it."""
    folder.mkdir()
    (folder / "pytest.ini").write_text("[pytest]\npythonpath =\n")
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "test_foreign.py").write_text(FOREIGN)
    return folder
