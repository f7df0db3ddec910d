"""The places where faults are injected."""

import shutil

import pytest
from harness import ROOT, Place, run


@pytest.fixture(scope="session")
def checkout(tmp_path_factory):
    """A checkout with the conformance tests that the fake machine passes."""
    root = tmp_path_factory.mktemp("checkout")
    shutil.copy(ROOT / "pytest.ini", root)
    shutil.copytree(ROOT / "tests" / "performance", root / "tests" / "performance")
    return root


@pytest.fixture(scope="session")
def earlier(checkout, tmp_path_factory):
    """The result files of a run without a fault."""
    place = Place(tmp_path_factory.mktemp("earlier"), checkout)
    run(place, "qualify").check(0, "^amx-suite: QUALIFIED")
    return place.output


@pytest.fixture
def place(tmp_path, checkout, earlier):
    """A place with the results of an earlier run."""
    found = Place(tmp_path / "place", checkout)
    found.put_earlier_results(earlier)
    return found
