"""Known defects of libraries: which failures they explain, and which they do not."""

import importlib.metadata

import pytest

from amx_suite.accuracy import known_defects as module

pytestmark = pytest.mark.selftest

NAN = "tests/correctness/test_operators.py::test_nan_stays_in_its_row[eager-linear-x-bf16]"
SYMPTOM = "AssertionError: NaN leaked where K is no multiple of 32: rows [3]"


@pytest.fixture
def torch(monkeypatch):
    def installed(version):
        module.known_defects.cache_clear()
        monkeypatch.setattr(importlib.metadata, "version", lambda name: version)

    yield installed
    module.known_defects.cache_clear()


def test_the_listed_failure_is_explained(torch):
    torch("2.8.0+cpu")
    defect = module.known_defect(NAN, SYMPTOM)
    assert "oneDNN issue 5717" in str(defect)


@pytest.mark.parametrize(
    ("version", "listed"), [("2.8.0", False), ("2.15.0", True)], ids=["older", "newer"]
)
def test_compiled_linear_is_listed_where_seen(torch, version, listed):
    torch(version)
    found = module.known_defect(NAN.replace("eager", "inductor"), SYMPTOM)
    assert (found is not None) is listed


@pytest.mark.parametrize(
    ("version", "test", "message"),
    [
        ("2.16.0", NAN, SYMPTOM),
        ("2.8.0", NAN, "AssertionError: 96 of 115 rows are wrong"),
        ("2.8.0", NAN.replace("bf16", "fp32"), SYMPTOM),
        ("2.8.0", NAN.replace("eager", "inductor"), SYMPTOM),
        ("2.8.0", NAN.replace("nan_stays", "whole_numbers_stay"), SYMPTOM),
    ],
    ids=["version", "symptom", "precision", "engine", "test"],
)
def test_nothing_else_is_explained(torch, version, test, message):
    torch(version)
    assert module.known_defect(test, message) is None


def test_a_row_that_no_longer_fails_is_stale(torch):
    torch("2.8.0")
    (sentence,) = module.stale([NAN, "tests/a.py::test_other"])
    assert "eager-linear-x-bf16] passed though torch >=2.8,<2.16" in sentence
    torch("2.16.0")
    assert module.stale([NAN]) == ()


def test_without_the_library_nothing_is_known(monkeypatch):
    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    module.known_defects.cache_clear()
    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert module.known_defects() == ()
    module.known_defects.cache_clear()
