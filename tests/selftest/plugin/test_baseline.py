"""Which baselines a run may be compared with."""

import copy

import pytest

from amx_suite.errors import ResultsFileError
from amx_suite.host.fingerprint import machine_id
from amx_suite.plugin.baseline import check_machine, machine_info, storage_of_machine

pytestmark = pytest.mark.selftest

OURS = machine_info({"cores": "2", "kernel": "6.1"})


def test_same_machine_and_software_are_comparable():
    assert check_machine(OURS, copy.deepcopy(OURS)) == ()


def test_allowed_difference_is_noted():
    theirs = copy.deepcopy(OURS)
    theirs["amx_suite"]["versions"]["torch"] = "1.0"
    (note,) = check_machine(OURS, theirs, ["software"])
    assert note.startswith("compared all the same with another software (torch was '1.0', is '")
    with pytest.raises(ResultsFileError, match="--amx-across software"):
        check_machine(OURS, theirs, ["machine", "shape"])


def test_other_schema_version_is_never_allowed():
    theirs = copy.deepcopy(OURS)
    theirs["amx_suite"]["schema_version"] = 0
    with pytest.raises(ResultsFileError, match="schema version 0"):
        check_machine(OURS, theirs, ["machine", "software"])


@pytest.mark.parametrize("storage", ["file://./.benchmarks", "/data/runs/", ".benchmarks"])
def test_each_machine_has_its_folder(storage):
    here, there = {"cores": "2"}, {"cores": "4"}
    assert storage_of_machine(storage, here) == f"{storage.rstrip('/')}/{machine_id(here)}"
    assert storage_of_machine(storage, here) != storage_of_machine(storage, there)


def test_storage_that_is_no_folder_stays():
    address = "elasticsearch+http://host:9200/index/type"
    assert storage_of_machine(address, {"cores": "2"}) == address


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda info: info.pop("amx_suite"), "was not written by amx-suite"),
        (lambda info: info.update(amx_suite="text"), "was not written by amx-suite"),
        (lambda info: info["amx_suite"].update(schema_version=0), "schema version 0"),
        (lambda info: info["amx_suite"]["versions"].update(torch="1.0"), "torch was '1.0'"),
        (lambda info: info["amx_suite"]["fingerprint"].update(cores="9"), "cores was '9', is '2'"),
        (lambda info: info["amx_suite"]["fingerprint"].pop("kernel"), "kernel was 'None'"),
        (lambda info: info["amx_suite"]["fingerprint"].update(new="x"), "new was 'x', is 'None'"),
    ],
    ids=["foreign", "garbage", "stale", "torch", "machine", "a trait less", "a trait more"],
)
def test_difference_is_named_with_remedy(change, complaint):
    theirs = copy.deepcopy(OURS)
    change(theirs)
    with pytest.raises(ResultsFileError, match=complaint) as caught:
        check_machine(OURS, theirs)
    assert "--benchmark-save" in str(caught.value)


def test_machine_info_has_no_clock_speeds():
    assert not [name for name in str(OURS).lower().split("'") if name.endswith("hz")]
